"""`megatron-bio merge` with the flags of Megatron-LM's tool of this name: all token data of a folder to one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from megatron_bio.tokens.megatron_flags import merge_main

if __name__ == "__main__":
    sys.exit(merge_main(sys.argv[1:]))
