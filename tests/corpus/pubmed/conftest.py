"""What several modules of tests share."""

from collections.abc import Iterator

import pytest

from megatron_bio import native
from megatron_bio.corpus.pubmed import shortcut


@pytest.fixture(scope="module", params=["compiled", "python"])
def each_reader(request: pytest.FixtureRequest) -> Iterator[None]:
    """The module is run with the compiled reader of usual records, if it is there, and with the shortcut in Python alone."""
    if request.param == "compiled" and native.compiled is None:
        pytest.skip(f"no compiled parts: {native.reason}")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr(shortcut, "read_citation", lambda buffer, begin, end: None)
        yield
