"""`python -m megatron_bio VERB`, the form that torchrun starts."""

import sys

from megatron_bio.cli import main

if __name__ == "__main__":
    sys.exit(main())
