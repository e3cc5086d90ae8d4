"""`megatron-bio evaluate lm` for a checkout that is not installed: python tools/evaluate_lm.py …"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from megatron_bio.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", "lm", *sys.argv[1:]]))
