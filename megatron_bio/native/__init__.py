"""The compiled parts (`csrc/*.cpp`), if they were built; whoever uses one has a reference in Python that does the same.

Nothing is compiled here. `pip install .` builds them where there is a C++17 compiler; `megatron-bio doctor` tells.
"""

from megatron_bio.native.parts import NOTICE, compiled, reason

__all__ = ["NOTICE", "compiled", "reason"]
