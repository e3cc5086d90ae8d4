import gzip
import io
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from megatron_bio.corpus.extraction.records import LeftOut, Lost
from megatron_bio.corpus.pmc import package as package_module
from megatron_bio.corpus.pmc.package import Member, Package, is_package

from .conftest import tar_bytes

Write = Callable[..., Path]
MEMBERS = {f"PMC{n}/PMC{n}.nxml": f"<article>{n}</article>".encode() * 40 for n in range(5)}


def read(path: Path) -> tuple[dict[str, bytes], list[str], list[Lost]]:
    """The articles by name, the reasons of what was passed over, the losses."""
    articles: dict[str, bytes] = {}
    reasons: list[str] = []
    losses: list[Lost] = []
    for item in Package(path).members():
        if isinstance(item, Member):
            articles[item.name] = item.content
        elif isinstance(item, LeftOut):
            reasons.append(item.reason)
        else:
            losses.append(item)
    return articles, reasons, losses


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, lzma.compress, zstandard.ZstdCompressor().compress]
)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_formats(tmp_path: Path, compress: Callable[[bytes], bytes], form: int) -> None:
    members = {**MEMBERS, f"{'long/' * 18}{'n' * 90}.xml": b"<a/>"}
    if form != tarfile.USTAR_FORMAT:
        members[f"{'ü' * 200}.xml"] = b"<b/>"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("PMC0")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    path = tmp_path / "any.name"
    path.write_bytes(compress(buffer.getvalue()))
    assert is_package(path)
    assert read(path) == (members, [], [])


def test_what_is_no_package(tmp_path: Path) -> None:
    for content in (b"", b"<article/>", bytes(2000), b"x" * 2000, gzip.compress(b"<article/>")[:-9]):
        path = tmp_path / "file"
        path.write_bytes(content)
        assert not is_package(path)


def test_nothing_is_followed_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            entry = tarfile.TarInfo("link.xml")
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            entry = tarfile.TarInfo("device.xml")
            entry.type = kind
            archive.addfile(entry)
        for name in (
            "/abs.xml",
            "../up.xml",
            "a/../../up.xml",
            "C:\\x.xml",
            "..\\up.xml",
            "._PMC1.xml",
            "a.pdf",
            "PMC1.nxml",
        ):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"<a>"))
        folder = tarfile.TarInfo("folder.xml")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    path = tmp_path / "package.tar"
    path.write_bytes(buffer.getvalue())
    monkeypatch.chdir(tmp_path)
    articles, reasons, losses = read(path)
    assert articles == {"PMC1.nxml": b"<a>"} and not losses
    assert reasons == [
        *["link in the archive"] * 2,
        *["archive member that is no file"] * 3,
        *["archive member with an unsafe name"] * 5,
        *["archive member that is no XML"] * 2,
    ]
    assert list(tmp_path.iterdir()) == [path]


def test_a_bomb_is_never_held_in_memory(tmp_path: Path) -> None:
    size = (256 << 20) + 1
    entry = tarfile.TarInfo("bomb.xml")
    entry.size = size
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(entry.tobuf())
        for _ in range(size // (1 << 20) + 1):
            file.write(bytes(1 << 20))
        file.write(tar_bytes({"PMC1.xml": b"<a/>"}))
    tracemalloc.start()
    try:
        articles, reasons, losses = read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (articles, reasons, losses) == ({"PMC1.xml": b"<a/>"}, ["article of more than 256 MB"], [])
    assert peak < 150 << 20


def test_an_endless_header_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_module, "MAXIMUM_HEADER_BYTES", 600)
    path = tmp_path / "package.tar"
    path.write_bytes(tar_bytes({f"{'n' * 700}.xml": b"<a/>", "PMC1.xml": b"<b/>"}))
    assert read(path) == ({"PMC1.xml": b"<b/>"}, ["archive member that is no XML"], [])


def test_a_member_cut_short(tmp_path: Path) -> None:
    content = tar_bytes(MEMBERS)
    path = tmp_path / "package.tar"
    path.write_bytes(content[: 4 * 512 + 700])
    articles, _, (loss,) = read(path)
    assert list(articles) == ["PMC0/PMC0.nxml"]
    assert (loss.path, loss.reason, loss.records) == (path, "archive member cut short", 1)
    assert "byte 2,748 of the unpacked archive" in loss.message
    assert "expected 800 bytes of member PMC1/PMC1.nxml" in loss.message


def test_a_package_without_its_end(tmp_path: Path) -> None:
    path = tmp_path / "package.tar"
    path.write_bytes(tar_bytes(MEMBERS)[: 5 * (512 + 1024)])
    articles, _, (loss,) = read(path)
    assert len(articles) == 5 and (loss.reason, loss.records) == ("truncated archive", 0)


def test_truncated_compression_names_the_member(tmp_path: Path, package: Write) -> None:
    path = package({f"PMC{n}.xml": bytes(range(256)) * 400 for n in range(40)})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    articles, _, (loss,) = read(path)
    assert 10 < len(articles) < 30
    assert (loss.reason, loss.records) == ("truncated compression", 1)
    assert f"in member PMC{len(articles)}.xml" in loss.message and "of the unpacked archive" in loss.message


def test_reading_goes_on_after_a_damaged_header(tmp_path: Path) -> None:
    content = bytearray(tar_bytes(MEMBERS))
    content[1536 + 5] ^= 0xFF
    path = tmp_path / "package.tar"
    path.write_bytes(content)
    articles, _, (loss,) = read(path)
    assert list(articles) == [f"PMC{n}/PMC{n}.nxml" for n in (0, 2, 3, 4)]
    assert loss.reason == "damaged archive" and "byte 1,536" in loss.message and "byte 3,072" in loss.message


def test_packages_joined_into_one(tmp_path: Path) -> None:
    path = tmp_path / "package.tar"
    path.write_bytes(tar_bytes({"PMC1.xml": b"<a/>"}) + tar_bytes({"PMC2.xml": b"<b/>"}))
    assert read(path) == ({"PMC1.xml": b"<a/>", "PMC2.xml": b"<b/>"}, [], [])
