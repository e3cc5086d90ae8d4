"""JSON files of gold data and predictions."""

import json
from pathlib import Path


def write_json(path: Path, content: object) -> None:
    """Write UTF-8 JSON; the folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
