"""Writers of small articles and packages, so that each test shows only what it is about."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from megatron_bio import native
from megatron_bio.corpus.pmc import article as article_module

NAMESPACES = (
    'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML" '
    'xmlns:ali="http://www.niso.org/schemas/ali/1.0/"'
)
DOCTYPE = (
    '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving and Interchange DTD v1.1 20151215//EN" '
    '"JATS-archivearticle1.dtd">'
)
CC_BY = (
    '<permissions><license xlink:href="http://creativecommons.org/licenses/by/4.0/"><license-p>Open.</license-p>'
    "</license></permissions>"
)


@pytest.fixture
def article() -> Callable[..., bytes]:
    """The XML of one article; `abstract` and `body` are the inner XML of these elements, "" leaves them out."""

    def make(
        number: int | str | None = 1,
        *,
        title: str = "<article-title>A title</article-title>",
        abstract: str = "<p>An abstract.</p>",
        body: str = "<p>Some words here.</p>",
        back: str = "",
        meta: str = "",
        license: str = CC_BY,
        attributes: str = 'article-type="research-article"',
        doctype: str = DOCTYPE,
        after: str = "",
    ) -> bytes:
        identifier = "" if number is None else f'<article-id pub-id-type="pmc">{number}</article-id>'
        return (
            f"{doctype}<article {NAMESPACES} {attributes}><front><journal-meta><journal-title-group><journal-title>"
            f"Journal</journal-title></journal-title-group></journal-meta><article-meta>{identifier}"
            f"<title-group>{title}</title-group>{license}{f'<abstract>{abstract}</abstract>' if abstract else ''}{meta}"
            f"</article-meta></front>{f'<body>{body}</body>' if body else ''}{f'<back>{back}</back>' if back else ''}"
            f"{after}</article>"
        ).encode()

    return make


def tar_bytes(members: Mapping[str, bytes]) -> bytes:
    """An uncompressed archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Writes a .tar.gz of these members and gives its path."""

    def write(members: Mapping[str, bytes], name: str = "package.tar.gz") -> Path:
        path = tmp_path / name
        with tarfile.open(path, "w:gz") as archive:
            for member, content in members.items():
                entry = tarfile.TarInfo(member)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return path

    return write


@pytest.fixture(params=["compiled", "python"])
def each_reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is run with the compiled reader, if it is there, and with the one that defines what is right."""
    if request.param == "python":
        monkeypatch.setattr(article_module, "read_article", lambda content, captions: None)
    elif native.compiled is None:
        pytest.skip(f"no compiled parts: {native.reason}")
