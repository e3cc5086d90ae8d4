"""`megatron-bio preprocess` with the flags of Megatron-LM's tool of this name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from megatron_bio.tokens.megatron_flags import preprocess_main

if __name__ == "__main__":
    sys.exit(preprocess_main(sys.argv[1:]))
