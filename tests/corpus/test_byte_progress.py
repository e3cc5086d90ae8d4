import io
import sys

import pytest

from megatron_bio.corpus.progress import byte_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "enabled", "shown"), [(Terminal(), True, True), (Terminal(), False, False)]
)
def test_bar_on_stderr_of_a_terminal_only(
    stream: io.StringIO,
    enabled: bool,
    shown: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with byte_progress("reading", 1000, enabled) as show:
        show(500)
        show(1000)
    assert ("reading" in stream.getvalue()) == shown
    assert capsys.readouterr().out == "", "stdout is for the report"


def test_no_bar_in_a_log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with byte_progress("reading", 1000, True) as show:
        show(1000)
    assert log.getvalue() == ""
