"""`megatron-bio report` for a checkout that is not installed: python tools/report.py …"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from megatron_bio.cli import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
