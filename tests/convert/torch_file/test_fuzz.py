"""Damaged and random files: the same kind of structure or one error, in little memory and time."""

import argparse
import contextlib
import io
import pickletools
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.torch_file.numpy_values import NumpyDtype
from megatron_bio.convert.torch_file.open import open_torch_file
from megatron_bio.convert.torch_file.tensors import LazyTensor, StorageView
from megatron_bio.convert.torch_file.values import Placeholder, Reference

_LEAVES = (
    *(str, int, float, complex, bool, bytes, bytearray, type(None), set, frozenset),
    *(np.ndarray, np.generic, NumpyDtype, torch.dtype, torch.device, StorageView, Reference, Placeholder),
)
_MOST_MEMORY = 8 << 20
NAMES = (
    b"cos\nsystem\n",
    *(
        b"ctorch\nFloatStorage\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch._utils\n_rebuild_tensor_v3\n",
    ),
    *(
        b"ctorch._utils\n_rebuild_parameter\n",
        b"ctorch._tensor\n_rebuild_from_type_v2\n",
        b"ctorch\nfloat32\n",
    ),
    *(b"ccollections\nOrderedDict\n", b"ccollections\ndefaultdict\n", b"cargparse\nNamespace\n"),
    *(b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cnumpy.core.multiarray\n_reconstruct\n"),
    *(b"cnumpy.core.multiarray\nscalar\n", b"cnumpy._core.numeric\n_frombuffer\n", b"c_codecs\nencode\n"),
    *(b"cbuiltins\nset\n", b"cbuiltins\nbytearray\n", b"cbuiltins\ncomplex\n", b"cbuiltins\nbytes\n"),
    *(b"ctorch\ndevice\n", b"ctorch\nSize\n", b"ctorch.serialization\n_get_layout\n"),
    *(b"ccopy_reg\n_reconstructor\n", b"cbuiltins\nobject\n", b"cmegatron.enums\nModelType\n"),
)
VALUES = (
    *(
        b"N",
        b"\x88",
        b"\x89",
        b"K\x00",
        b"K\x01",
        b"K\x02",
        b"J\xff\xff\xff\xff",
        b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
    ),
    *(
        b"G" + b"\x00" * 8,
        b"X\x01\x00\x00\x000",
        b"X\x07\x00\x00\x00storage",
        b"X\x03\x00\x00\x00cpu",
        b"C\x04abcd",
    ),
    *(
        b"X\x02\x00\x00\x00f4",
        b"X\x02\x00\x00\x00b1",
        b"X\x01\x00\x00\x00<",
        b"X\x01\x00\x00\x00C",
        b"X\x06\x00\x00\x00latin1",
    ),
    *(
        b"]",
        b")",
        b"}",
        b"\x8f",
        b"K\x00\x85",
        b"K\x02\x85",
        b"K\x01\x85",
        b"}q\x05",
        b"(K\x01NNNNJ\xff\xff\xff\xffK\x00K\x00t",
    ),
    b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQK\x00K\x02\x85K\x01\x85\x89}t",
)
OPERATIONS = (
    *(
        b"(",
        b"0",
        b"1",
        b"2",
        b"R",
        b"R",
        b"R",
        b"b",
        b"b",
        b"\x81",
        b"\x92",
        b"Q",
        b"a",
        b"e",
        b"s",
        b"u",
        b"\x90",
        b"\x91",
    ),
    *(
        b"l",
        b"d",
        b"t",
        b"t",
        b"\x85",
        b"\x86",
        b"\x87",
        b"q\x00",
        b"q\x01",
        b"h\x00",
        b"h\x01",
        b"\x94",
        b"j\x00\x00\x00\x00",
    ),
    *(b"c", b"\x93", b"i", b"o", b"\x82", b"P", b"\x97", b"\x98", b"."),
)


def check_value(value: Any) -> None:
    if isinstance(value, LazyTensor):
        with contextlib.suppress(ConvertError):
            assert value.read().shape == value.described().shape == value.shape
    elif isinstance(value, dict):
        assert type(value) in (dict, OrderedDict)
        for item in value.values():
            check_value(item)
    elif isinstance(value, list | tuple):
        assert type(value) in (list, tuple)
        for item in value:
            check_value(item)
    elif isinstance(value, argparse.Namespace):
        assert "Namespace" in repr(type(value))
        check_value(vars(value))
    else:
        assert isinstance(value, _LEAVES), type(value)


def open_and_check(path: Path, content: bytes) -> bool:
    """Whether the file was read; fails if something else than the error of ours happened."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        check_value(open_torch_file(path))
        return True
    except ConvertError as error:
        assert str(path) in str(error)
        assert len(str(error)) < 2000
        return False
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < _MOST_MEMORY


def saved(as_zip: bool) -> bytes:
    base = torch.arange(12, dtype=torch.float32).view(3, 4)
    value = {
        "args": argparse.Namespace(a=1, b="x", dtype=torch.float16),
        "model": OrderedDict(
            w=base, v=base[1], b=torch.ones(2, dtype=torch.bool), h=torch.nn.Parameter(torch.ones(1))
        ),
        "state": [np.arange(4.0), np.float32(1), ("a", None), {1, 2}, b"bytes", 1 + 2j, torch.Size([2])],
        "device": torch.device("cpu"),
    }
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=as_zip)
    return file.getvalue()


WHOLE = {True: saved(True), False: saved(False)}
INTERESTING = (b"\x00", b"\xff", b"\x7f", b".", b"R", b"(", b"\x80", b"\xff" * 4, b"\xff" * 8, b"\x00" * 8)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("replace", "insert", "delete", "copy")),
        st.integers(0, 1 << 16),
        st.one_of(st.sampled_from(INTERESTING), st.binary(min_size=1, max_size=8)),
        st.integers(0, 1 << 16),
    ),
    min_size=1,
    max_size=4,
)


def changed(content: bytes, changes: list[tuple[str, int, bytes, int]]) -> bytes:
    for kind, place, piece, other in changes:
        at = place % (len(content) + 1)
        if kind == "replace":
            content = content[:at] + piece + content[at + len(piece) :]
        elif kind == "insert":
            content = content[:at] + piece + content[at:]
        elif kind == "delete":
            content = content[:at] + content[at + len(piece) :]
        else:
            start = other % (len(content) + 1)
            content = content[:at] + content[start : start + len(piece)] + content[at + len(piece) :]
    return content


def pickle_in_zip(pickled: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", bytes(8))
    return file.getvalue()


def fuzz_damaged(path: Path, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.booleans(), CHANGES)
    def run(as_zip: bool, changes: list[tuple[str, int, bytes, int]]) -> None:
        open_and_check(path, changed(WHOLE[as_zip], changes))

    run()


def fuzz_damaged_pickle(path: Path, examples: int) -> None:
    with zipfile.ZipFile(io.BytesIO(WHOLE[True])) as archive:
        pickled = archive.read("archive/data.pkl")

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(CHANGES)
    def run(changes: list[tuple[str, int, bytes, int]]) -> None:
        open_and_check(path, pickle_in_zip(changed(pickled, changes)))

    run()


def fuzz_operations(path: Path, examples: int) -> None:
    pieces = st.one_of(st.sampled_from(NAMES), st.sampled_from(VALUES), st.sampled_from(OPERATIONS))
    calls = st.tuples(st.sampled_from(NAMES), st.lists(st.sampled_from(VALUES), max_size=7)).map(
        lambda call: call[0] + b"(" + b"".join(call[1]) + b"tR"
    )

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(st.one_of(pieces, pieces, calls), max_size=30))
    @example([b"cos\nsystem\n(X\x04\x00\x00\x00truetR"])
    def run(operations: list[bytes]) -> None:
        open_and_check(path, pickle_in_zip(b"\x80\x02" + b"".join(operations) + b"."))

    run()


def test_what_is_damaged_below_is_read(tmp_path: Path) -> None:
    assert all(open_and_check(tmp_path / "file.pt", whole) for whole in WHOLE.values())


def test_the_operations_below_are_those_of_python() -> None:
    known = {operation.code.encode("latin1") for operation in pickletools.opcodes}
    assert {piece[:1] for piece in (*NAMES, *VALUES, *OPERATIONS)} <= known


def test_damaged_files(tmp_path: Path) -> None:
    fuzz_damaged(tmp_path / "file.pt", 250)


def test_damaged_pickles(tmp_path: Path) -> None:
    fuzz_damaged_pickle(tmp_path / "file.pt", 250)


def test_random_operations(tmp_path: Path) -> None:
    fuzz_operations(tmp_path / "file.pt", 300)


@pytest.mark.slow
def test_many_damaged_files_and_random_operations(tmp_path: Path) -> None:
    fuzz_damaged(tmp_path / "file.pt", 1500)
    fuzz_damaged_pickle(tmp_path / "file.pt", 2500)
    fuzz_operations(tmp_path / "file.pt", 2500)
