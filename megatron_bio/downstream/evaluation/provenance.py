"""With what numbers were made."""

import platform
import sys
from datetime import date
from importlib.metadata import version
from typing import Any

import megatron_bio

_LIBRARIES = ("torch", "transformers", "accelerate", "tokenizers")


def provenance(cpu: bool) -> dict[str, Any]:
    """Command, versions, device and day, of a results.json and of each run in it. `cpu`: although there is a GPU."""
    import torch

    return {
        "command": ["megatron-bio", *sys.argv[1:]],
        "versions": {
            "megatron_bio": megatron_bio.__version__,
            "python": platform.python_version(),
            **{library: version(library) for library in _LIBRARIES},
        },
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() and not cpu else "cpu",
        "date": date.today().isoformat(),
    }
