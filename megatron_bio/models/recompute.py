"""Computing activations again in the backward instead of keeping them.

Source: Chen et al., arXiv 1604.06174; selective recomputation: Korthikanti et al., arXiv 2205.05198, section 5. Gradients are the
same bits: dropout is a function of counters, so the second forward drops what the first did and no generator has to be restored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class Recompute:
    """What the layers of a model compute twice."""

    kind: Literal["none", "selective", "full"] = "none"
    every: int = 1
    """Every n-th layer does, counted over the whole model, so that it does not depend on the cut into stages."""

    def of_layer(self, layer: int) -> Literal["none", "selective", "full"]:
        """Return what layer `layer`, counted from 0, does."""
        return self.kind if layer % self.every == 0 else "none"


def recomputed(function: Callable[..., Any], *args: Any) -> Any:
    """Call `function`, keep only its arguments, and call it again when the backward needs what it computed."""
    return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False)
