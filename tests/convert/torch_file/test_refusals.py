"""Nothing in a file is called, whatever it says, and what cannot be is told as one error."""

import argparse
import builtins
import io
import operator
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.torch_file import open as opening
from megatron_bio.convert.torch_file import pickle_machine
from megatron_bio.convert.torch_file.open import open_torch_file

FORMATS = pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])


class Reduced:
    """Pickled as a call of something."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


class Evil:
    def __setstate__(self, state: Any) -> None:
        Path(state["marker"]).touch()


def attacks(marker: Path) -> dict[str, Any]:
    command = f"touch {marker}"
    touch = f"open({str(marker)!r}, 'w').close()"
    evil = Evil()
    evil.__dict__["marker"] = str(marker)
    return {
        "system": Reduced(os.system, command),
        "eval": Reduced(builtins.eval, touch),
        "exec": Reduced(builtins.exec, touch),
        "open": Reduced(builtins.open, str(marker), "w"),
        "getattr": Reduced(getattr, Reduced(builtins.__import__, "os"), "system"),
        "attribute chain": Reduced(operator.attrgetter, "path.exists"),
        "import": Reduced(builtins.__import__, "os"),
        "torch.load": Reduced(torch.load, str(marker)),
        "torch.hub": Reduced(torch.hub.load, "a/b", "c"),
        "torch storage": Reduced(torch.storage._load_from_bytes, b"x"),
        "partial": Reduced(__import__("functools").partial, os.system, command),
        "setstate": evil,
        "map": Reduced(map, os.system, [command]),
        "object array": np.array([Reduced(os.system, command)], dtype=object),
        "text array": np.array(["text"]),
        "record array": np.zeros(2, dtype=[("a", "i4")]),
        "module": torch.nn.Linear(2, 2),
        "numpy function": Reduced(np.load, str(marker)),
        "namespace": Reduced(argparse.Namespace, 1),
        "dtype": Reduced(np.dtype, "O", False, True),
        "huge dtype": Reduced(np.dtype, "S2000000000", False, True),
        "sparse": torch.ones(2, 2).to_sparse(),
        "bytes": Reduced(bytes, 10**12),
        "bytearray": Reduced(bytearray, 10**12),
        "set": Reduced(set, 5),
        "device": Reduced(torch.device, "cuda", 10**30),
        "rebuilt": Reduced(torch._utils._rebuild_tensor_v2, "storage", 0, (2,), (1,), False, {}),
        "array of a size": Reduced(np._core.multiarray._reconstruct, np.ndarray, (10**12,), b"b"),
        "array of many": Reduced(
            np._core.multiarray._reconstruct,
            np.ndarray,
            (0,),
            b"b",
            state=(1, (10**9,), np.dtype("f8"), False, b""),
        ),
    }


@FORMATS
@pytest.mark.parametrize("name", list(attacks(Path())))
def test_calls_are_refused_and_not_made(tmp_path: Path, as_zip: bool, name: str) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "file.pt"
    torch.save(
        {"first": torch.ones(3), "attack": attacks(marker)[name]}, path, _use_new_zipfile_serialization=as_zip
    )
    with pytest.raises(ConvertError, match=str(path)):
        open_torch_file(path)
    assert not marker.exists()


def test_the_attacks_would_work_elsewhere(tmp_path: Path) -> None:
    for name in ("system", "eval", "exec", "open", "setstate"):
        marker = tmp_path / name
        pickle.loads(pickle.dumps(attacks(marker)[name]))
        assert marker.exists(), name


def test_the_name_of_what_is_refused_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save(Reduced(os.system, "true"), path)
    with pytest.raises(
        ConvertError, match=r"file.pt: data.pkl.*at byte \d+: it names 'posix.system'.*was not called"
    ):
        open_torch_file(path)


def zip_of(path: Path, pickled: bytes, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", pickled)
        for name, content in entries.items():
            file.writestr(f"archive/{name.replace('__', '/')}", content)
    return path


def refused(path: Path, pickled: bytes, match: str, **entries: bytes) -> None:
    with pytest.raises(ConvertError, match=match):
        open_torch_file(zip_of(path, pickled, **entries))


def tensor(
    kind: str = "FloatStorage",
    elements: bytes = b"K\x02",
    offset: bytes = b"K\x00",
    shape: bytes = b"K\x02\x85",
    stride: bytes = b"K\x01\x85",
) -> bytes:
    """The pickle of a tensor, its numbers given as operations."""
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
        + kind.encode()
        + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + elements
        + b"tQ"
        + offset
        + shape
        + stride
        + b"\x89}tR."
    )


NEGATIVE, HUGE = b"J\xff\xff\xff\xff", b"\x8a\x08" + (1 << 62).to_bytes(8, "little")
TENSORS = {
    "offset": tensor(offset=b"K\x01"),
    "negative offset": tensor(offset=NEGATIVE),
    "more elements than the file has": tensor(elements=b"K\x03"),
    "fewer elements than the file has": tensor(elements=b"K\x01"),
    "negative elements": tensor(elements=NEGATIVE),
    "huge elements": tensor(elements=HUGE),
    "a number that is true": tensor(elements=b"\x88"),
    "shape": tensor(shape=b"K\x03\x85"),
    "negative shape": tensor(shape=NEGATIVE + b"\x85"),
    "huge shape": tensor(shape=HUGE + b"\x85"),
    "huge empty shape": tensor(shape=HUGE + HUGE + b"K\x00\x87", stride=b"K\x01K\x01K\x01\x87"),
    "stride": tensor(stride=b"K\x02\x85"),
    "negative stride": tensor(stride=NEGATIVE + b"\x85"),
    "huge stride": tensor(stride=HUGE + b"\x85"),
    "repeated elements": tensor(shape=b"M\xff\xff\x85", stride=b"K\x00\x85"),
    "shape and stride of other lengths": tensor(stride=b"K\x01K\x01\x86"),
    "shape that is a list in itself": tensor(shape=b"]q\x01h\x01a"),
    "33 dimensions": tensor(shape=b"(" + b"K\x01" * 33 + b"t", stride=b"(" + b"K\x01" * 33 + b"t"),
    "another dtype": tensor(kind="DoubleStorage"),
}


def test_the_tensor_that_is_damaged_below_is_right(tmp_path: Path) -> None:
    found = open_torch_file(zip_of(tmp_path / "file.pt", tensor(), data__0=struct.pack("<2f", 1, 2)))
    assert found.read().tolist() == [1, 2]


@pytest.mark.parametrize("name", list(TENSORS))
def test_tensors_that_are_not_in_their_storage(tmp_path: Path, name: str) -> None:
    refused(tmp_path / "file.pt", TENSORS[name], "file.pt: data.pkl", data__0=struct.pack("<2f", 1, 2))


PICKLES = {
    "empty": b"",
    "no end": b"\x80\x02",
    "nothing on the stack": b"\x80\x02.",
    "extension": b"\x80\x02\x82\x01.",
    "extension of 4 bytes": b"\x80\x02\x84\x01\x00\x00\x00.",
    "persistent id of text": b"\x80\x02Pcode\n.",
    "persistent id of a number": b"\x80\x02K\x01Q.",
    "persistent module": b"\x80\x02(X\x06\x00\x00\x00moduleNNNtQ.",
    "instance": b"\x80\x02(ios\nsystem\n.",
    "buffer outside": b"\x80\x05\x97.",
    "protocol": b"\x80\x09N.",
    "text of 2 GiB": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "bytes of 8 EiB": b"\x80\x02\x8e" + b"\xff" * 7 + b"\x7f.",
    "number of 2 GiB": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "number of negative length": b"\x80\x02\x8b\xff\xff\xff\xff.",
    "long decimal": b"\x80\x02L" + b"9" * 200 + b"L\n.",
    "decimal": b"\x80\x02Iabc\n.",
    "memo": b"\x80\x02h\x05.",
    "marks": b"\x80\x02a.",
    "pop to no mark": b"\x80\x02t.",
    "take beyond a mark": b"\x80\x02K\x01(\x85.",
    "long name": b"\x80\x02c" + b"a" * 10_000 + b"\nb\n.",
    "name without end": b"\x80\x02cos",
    "name that is no text": b"\x80\x04K\x01K\x02\x93.",
    "text that is not UTF-8": b"\x80\x02X\x01\x00\x00\x00\xff.",
    "surrogate": b"\x80\x02X\x03\x00\x00\x00\xed\xa0\x80.",
    "key that is a list": b"\x80\x02}]K\x01s.",
    "key that is huge": b"\x80\x02}" + HUGE + b"K\x01s.",
    "key without value": b"\x80\x02(K\x01d.",
    "key of 9 parts": b"\x80\x02}(" + b"K\x01" * 9 + b"tK\x01s.",
    "nested key": b"\x80\x02}K\x01" + b"\x85" * 200_000 + b"K\x01s.",
    "set of nested": b"\x80\x04\x8f(K\x01" + b"\x85" * 200_000 + b"\x90.",
    "deep tuples": b"\x80\x02K\x01" + b"\x85" * 300_000 + b".",
    "deep lists": b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b".",
    "list in itself": b"\x80\x02]q\x00h\x00a.",
    "dict in itself": b"\x80\x02}q\x00K\x01h\x00s.",
    "branches": b"\x80\x02K\x01" + b"2\x86" * 60 + b".",
    "state of a number": b"\x80\x02K\x01Nb.",
    "append to a tuple": b"\x80\x02)K\x01a.",
    "items of a list": b"\x80\x02]K\x01K\x02s.",
    "call of a number": b"\x80\x02K\x01)R.",
    "call of a dtype": b"\x80\x02ctorch\nfloat32\n)R.",
    "call without a tuple": b"\x80\x02ccollections\nOrderedDict\nK\x01R.",
    "name with dots": b"\x80\x04\x8c\x05torch\x8c\x08hub.load\x93.",
    "Namespace with a class": b"\x80\x02cargparse\nNamespace\n)\x81}X\x09\x00\x00\x00__class__K\x01sb.",
    "keywords": b"\x80\x04ccollections\nOrderedDict\n)}K\x01K\x02s\x92.",
}


@pytest.mark.parametrize("name", list(PICKLES))
def test_pickles_that_torch_never_writes(tmp_path: Path, name: str) -> None:
    refused(tmp_path / "file.pt", PICKLES[name], "file.pt: data.pkl")


def test_small_files_that_ask_for_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"\x80\x02X\x00\x00\x10\x00" + b"a" * (1 << 20) + b"q\x000"
    encode = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    monkeypatch.setattr(opening, "_MOST_MEMORY", 10 << 20)
    refused(tmp_path / "file.pt", text + b"(" + encode * 2000 + b"t.", "more than 10,485,760 bytes of memory")
    monkeypatch.setattr(pickle_machine, "_MOST_OPERATIONS", 1000)
    refused(tmp_path / "file.pt", b"\x80\x02(" + b"}" * 1001 + b"t.", "more than 1,000 operations")


def test_placeholders_keep_what_they_were_given_and_nothing_else(tmp_path: Path) -> None:
    pickled = b"\x80\x02cmegatron.core.enums\nModelType\nK\x01\x85Rq\x00}X\x01\x00\x00\x00aK\x02sb."
    found = open_torch_file(zip_of(tmp_path / "file.pt", pickled))
    assert repr(found) == "<placeholder of megatron.core.enums.ModelType>"
    assert found.arguments == (1,) and found.state == {"a": 2}
    circle = b"\x80\x02comegaconf.dictconfig\nDictConfig\n)\x81q\x00}X\x07\x00\x00\x00_parenth\x00sb."
    found = open_torch_file(zip_of(tmp_path / "file.pt", circle))
    assert found.state["_parent"] is found


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_files_that_torch_never_writes(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"

    def refuse(match: str, *entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
        with zipfile.ZipFile(path, "w", compression) as file:
            for name, content in entries:
                file.writestr(name, content)
        with pytest.raises(ConvertError, match=match):
            open_torch_file(path)

    pickled = ("archive/data.pkl", b"\x80\x02N.")
    refuse("compressed", pickled, ("archive/data/0", bytes(1 << 20)), compression=zipfile.ZIP_DEFLATED)
    refuse(
        "two entries are named 'archive/data/0'", pickled, ("archive/data/0", b"a"), ("archive/data/0", b"b")
    )
    refuse("leads out", pickled, ("archive/../../x", b"a"))
    refuse("leads out", pickled, ("/etc/x", b"a"))
    refuse("2 folders", pickled, ("other/x", b"a"))
    refuse("without data.pkl", ("archive/x", b"a"))
    refuse("TorchScript", pickled, ("archive/constants.pkl", b"a"))
    refuse("little or big", pickled, ("archive/byteorder", b"middle"))


def test_zip_entries_that_lie_about_their_place(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    name = b"archive/data/1"
    inner = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 4, 4, len(name), 0) + name + b"abcd"
    whole = zip_of(path, b"\x80\x02N.", data__0=inner, data__1=b"abcd").read_bytes()
    header = whole.rindex(b"PK\x01\x02")
    assert whole[header + 46 : header + 60] == name

    def refuse(match: str, at: int, value: int) -> None:
        path.write_bytes(whole[: header + at] + struct.pack("<I", value) + whole[header + at + 4 :])
        with pytest.raises(ConvertError, match=match):
            open_torch_file(path)

    refuse("within the entry before it", 42, whole.index(inner))
    refuse("is not at byte", 42, whole.rindex(b"PK\x03\x04") + 1)
    path.write_bytes(whole[: header + 20] + struct.pack("<2I", 99, 99) + whole[header + 28 :])
    with pytest.raises(ConvertError, match="beyond the directory"):
        open_torch_file(path)


def test_zip_files_that_were_changed(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save({"a": torch.arange(100)}, path)
    whole = path.read_bytes()

    def refuse(match: str, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(ConvertError, match=match):
            open_torch_file(path)

    directory = whole.index(b"PK\x01\x02")
    refuse("encrypted", whole[: directory + 8] + b"\x01" + whole[directory + 9 :])
    refuse("damaged", whole[: directory + 16] + b"\x99" + whole[directory + 17 :])
    refuse("directory at the end", whole[: len(whole) // 2])
    refuse("checksum", whole.replace(b"ctorch._utils", b"ctorch._util5"))
    refuse("cut off|directory", whole[:100] + whole[200:])
    refuse("expected a file of torch.save", b"")
    refuse("expected a file of torch.save", b"{}")
    refuse("refused|cut off", b"\x80\x04\x8a\x0a")


def test_a_legacy_file_that_is_cut_off_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save({"a": torch.arange(10), "b": [torch.ones(2)]}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(ConvertError, match=str(path)):
            open_torch_file(path)


def test_legacy_storages_that_lie_about_their_size(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save(torch.arange(10), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    at = len(whole) - 88
    assert whole[at : at + 8] == struct.pack("<q", 10)
    for size in (-1, 9, 11, 1 << 62):
        path.write_bytes(whole[:at] + struct.pack("<q", size) + whole[at + 8 :])
        with pytest.raises(ConvertError, match=r"expected 80 bytes for storage"):
            open_torch_file(path)


def test_big_endian_files_are_turned_round(tmp_path: Path) -> None:
    values = struct.pack(">2f", 1.5, -2)
    found = open_torch_file(zip_of(tmp_path / "file.pt", tensor(), data__0=values, byteorder=b"big"))
    assert found.read().tolist() == [1.5, -2]


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save(torch.ones(10), path)
    found = open_torch_file(path)
    torch.save(torch.ones(11), path)
    with pytest.raises(ConvertError, match="changed while"):
        found.read()
    path.unlink()
    with pytest.raises(ConvertError, match="cannot be read"):
        found.read()


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="found none"):
        open_torch_file(tmp_path / "none")
    with pytest.raises(ConvertError, match="found a folder"):
        open_torch_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConvertError, match="special file"):
        open_torch_file(tmp_path / "pipe")
    with pytest.raises(ConvertError, match="cannot be read"):
        open_torch_file(Path("a\0b"))


def test_only_the_bytes_of_a_tensor_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.pt"
    base = torch.arange(1 << 16, dtype=torch.float32).view(256, 256)
    torch.save({"base": base, "row": base[7], "corner": base[:2, :2]}, path)
    found = open_torch_file(path)
    read: list[int] = []
    readinto = io.FileIO.readinto

    class Counting(io.FileIO):
        def readinto(self, buffer: Any) -> int | None:
            count = readinto(self, buffer)
            read.append(count or 0)
            return count

    monkeypatch.setattr(Path, "open", lambda self, *_arguments, **_keywords: Counting(self))
    assert torch.equal(found["row"].read(), base[7])
    assert sum(read) == 1024
    assert torch.equal(found["corner"].read(), base[:2, :2])
    assert sum(read) == 1024 + 258 * 4
