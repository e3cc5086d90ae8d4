"""The documents have no holes, and what the README shows exists."""

import re
from pathlib import Path

from megatron_bio.config.model import PRESETS
from megatron_bio.verbs import VERBS

ROOT = Path(__file__).parents[1]


def test_no_placeholder_is_left_and_every_link_leads_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = document.read_text(encoding="utf-8")
        assert not re.findall(r"@[A-Z_]+@", text), document
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (document.parent / target).exists(), f"{document}: {target}"


def test_the_readme_shows_every_verb_and_preset() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert re.search(rf"(megatron-bio|megatron_bio) {verb.name}\b", text), verb.name
    assert [preset for preset in PRESETS if f"`{preset}`" not in text] == []


def test_commands_of_the_readme_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = set(
        re.findall(r"^make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert commands >= {"quickstart", "test"}
    for command in commands:
        assert f"\n{command}:" in makefile
