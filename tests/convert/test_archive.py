"""Archives: what tar writes is read where it lies; what leads out, lies or explodes is refused."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megatron_bio.convert import archive as archives
from megatron_bio.convert.archive import Archive, is_archive
from megatron_bio.convert.errors import ConvertError

FILES = {
    "model_config.yaml": b"a: 1\n",
    "mp_rank_00/model_weights.ckpt": bytes(range(256)) * 40,
    "empty": b"",
}


def make(
    path: Path, mode: str = "w:", tar_format: int = tarfile.PAX_FORMAT, files: dict[str, bytes] | None = None
) -> Path:
    """Make an archive of a folder as NeMo does: everything below "."."""
    source = path.with_name(f"{path.name}-source")
    for name, content in (FILES if files is None else files).items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    with tarfile.open(path, mode, format=tar_format) as tar:
        tar.add(source, arcname=".")
    return path


@pytest.mark.parametrize("mode", ["w:", "w:gz"])
@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_read_as_tarfile_reads_them(tmp_path: Path, mode: str, tar_format: int) -> None:
    files = FILES | {"long/" + "n" * 80 + "/" + "m" * 90: b"long"}
    if tar_format != tarfile.USTAR_FORMAT:
        files |= {"f" * 200: b"very long", "größe": b"other letters"}
    path = make(tmp_path / "a.nemo", mode, tar_format, files)
    assert is_archive(path)
    archive = Archive(path)
    assert {name: archive.read(name, 1 << 20) for name in archive.members} == files
    folder = archive.extracted({"mp_rank_00/model_weights.ckpt": "a", "empty": "b"})
    copies = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert copies == {"a": FILES["mp_rank_00/model_weights.ckpt"], "b": b""}
    with pytest.raises(ConvertError, match="at most 100 bytes, found 10,240"):
        archive.read("mp_rank_00/model_weights.ckpt", 100)
    with pytest.raises(ConvertError, match="expected a member nothing, found"):
        archive.member("nothing")


def test_what_was_unpacked_goes_with_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    archive = Archive(make(tmp_path / "a.nemo", "w:gz"))
    assert archive.extracted({"empty": "a"}).is_relative_to(tmp_path / "temporary")
    del archive
    assert not list((tmp_path / "temporary").iterdir())


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def with_field(at: int, value: bytes) -> bytes:
    """Overwrite a field of the only header, and make its checksum right again."""
    tar = bytearray(tar_of(member("x", content=b"abc")))
    tar[at : at + len(value)] = value
    tar[148:156] = b" " * 8
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    return bytes(tar)


def with_pax(kind: bytes, *records: tuple[str, str]) -> bytes:
    """Return a tar of x whose header is extended, for it alone (kind x) or for all that follow (g)."""
    lines = [f" {key}={value}\n".encode() for key, value in records]
    content = b"".join(b"%d" % (len(line) + 2) + line for line in lines)
    assert all(8 <= len(line) < 98 for line in lines), "two digits give the length of a record"
    return tar_of(member("extension", kind, content=content), member("x", content=b"abc"))


def test_sizes_of_base_256_and_headers_for_all_members(tmp_path: Path) -> None:
    path = tmp_path / "a.nemo"
    for content, name in (
        (with_field(124, b"\x80" + bytes(10) + b"\x03"), "x"),
        (with_pax(b"x", ("path", "other"), ("mtime", "1.5")), "other"),
        (with_pax(b"x", ("path", "other"), ("size", "3")), "other"),
        (with_pax(b"g", ("comment", "GNU.sparse")), "x"),
    ):
        path.write_bytes(content)
        archive = Archive(path)
        assert {name: archive.read(name, 10) for name in archive.members} == {name: b"abc"}


REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "parent": ("leads out", lambda: tar_of(member("../x"))),
    "parent inside": ("leads out", lambda: tar_of(member("a/../../x"))),
    "absolute": ("leads out", lambda: tar_of(member("/etc/x"))),
    "absolute folder": ("leads out", lambda: tar_of(member("/etc", tarfile.DIRTYPE))),
    "backslash": ("leads out", lambda: tar_of(member("..\\x"))),
    "line": ("leads out", lambda: tar_of(member("a\nb"))),
    "symbolic link": ("symbolic link", lambda: tar_of(member("x", tarfile.SYMTYPE, "/etc/passwd"))),
    "hard link": ("hard link", lambda: tar_of(member("x", tarfile.LNKTYPE, "y"))),
    "device": ("a device", lambda: tar_of(member("x", tarfile.CHRTYPE))),
    "block device": ("a device", lambda: tar_of(member("x", tarfile.BLKTYPE))),
    "pipe": ("a pipe", lambda: tar_of(member("x", tarfile.FIFOTYPE))),
    "sparse": ("a sparse file", lambda: tar_of(member("x", b"S"))),
    "unknown": ("no file", lambda: tar_of(member("x", b"Z"))),
    "two": ("two members are named 'x'", lambda: tar_of(member("x"), member("./x"))),
    "file and folder": (
        "two members are named 'x'",
        lambda: tar_of(member("x"), member("x", tarfile.DIRTYPE)),
    ),
    "many": ("more than 10,000 members", lambda: tar_of(*(member(f"m{index}") for index in range(10_001)))),
    "size": ("cut off", lambda: tar_of(member("x", content=bytes(5000)))[:3000]),
    "end": ("its end is missing", lambda: tar_of(member("x", content=bytes(512)))[:1024]),
    "no size": ("has no size", lambda: with_field(124, b"12 4")),
    "sparse by pax": ("says b'GNU.sparse.major'", lambda: with_pax(b"x", ("GNU.sparse.major", "1"))),
    "negative size": ("says b'size'", lambda: with_pax(b"x", ("size", "-3"))),
    "size of all": ("cut off", lambda: with_pax(b"g", ("size", "99999999"))),
    "long extension": ("has 65,537 bytes", lambda: tar_of(member("y", b"x", content=bytes((1 << 16) + 1)))),
    "pax": ("a pax header is damaged", lambda: tar_of(member("y", b"x", content=b"9 path=x"))),
    "name": ("has the name", lambda: with_field(0, b"\xff")),
    "damaged": ("is damaged", lambda: b"y" + tar_of(member("x"))[1:]),
}


@pytest.mark.parametrize("name", list(REFUSED))
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_what_is_refused(tmp_path: Path, name: str, packed: bool) -> None:
    match, content = REFUSED[name]
    path = tmp_path / "a.nemo"
    path.write_bytes(gzip.compress(content()) if packed else content())
    with pytest.raises(ConvertError, match=f"a.nemo.*{match}"):
        Archive(path)


def test_compressed_archives_that_explode_or_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.nemo", "w:gz", files={"zeros": bytes(10 << 20)})
    Archive(path)
    monkeypatch.setattr(archives, "_FREE_EXPANSION", 1 << 20)
    with pytest.raises(ConvertError, match="unpack to more than"):
        Archive(path)
    whole = make(tmp_path / "b.nemo", "w:gz").read_bytes()
    for content in (
        whole[:-1],
        whole[: len(whole) // 2],
        whole[:-8] + b"\x00" * 8,
        whole[:30] + b"\x00" * 9 + whole[39:],
    ):
        path.write_bytes(content)
        with pytest.raises(ConvertError, match=r"compressed with gzip|damaged"):
            Archive(path)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "a.nemo", "w:gz")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(ConvertError, match="TMPDIR"):
        Archive(path)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    st.booleans(),
    st.lists(
        st.tuples(st.integers(0, 1 << 14), st.binary(min_size=1, max_size=6), st.booleans()),
        min_size=1,
        max_size=4,
    ),
)
def test_damaged_archives(tmp_path: Path, packed: bool, changes: list[tuple[int, bytes, bool]]) -> None:
    content = tar_of(member("x", content=b"abc" * 300), member("n" * 150, content=b"de"))
    content = gzip.compress(content) if packed else content
    for place, piece, replaces in changes:
        at = place % len(content)
        content = content[:at] + piece + content[at + len(piece) * replaces :]
    path = tmp_path / "a.nemo"
    path.write_bytes(content)
    is_archive(path)
    try:
        archive = Archive(path)
        for name, region in archive.members.items():
            assert len(archive.read(name, 1 << 20)) == region.size
            assert not Path(name).is_absolute() and ".." not in name.split("/")
    except ConvertError as error:
        assert str(path) in str(error)
