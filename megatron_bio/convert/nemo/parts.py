"""The files of weights in a .nemo archive, one for each tensor- and pipeline-parallel rank, under Megatron-LM's names.

    model_weights.ckpt                                      one rank
    mp_rank_TT/model_weights.ckpt                           tensor-parallel ranks
    tp_rank_TT_pp_rank_PPP/model_weights.ckpt               and pipeline stages

Source: NeMo, nlp_overrides.py (`NLPSaveRestoreConnector.save_to`), megatron_bert_model.py, module.py.
"""

import re
from collections.abc import Mapping

from megatron_bio.convert.archive import Archive
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.megatron_lm.names import canonical_name
from megatron_bio.convert.megatron_lm.ranks import Part, Parts
from megatron_bio.convert.torch_file.open import open_torch_file
from megatron_bio.convert.torch_file.tensors import LazyTensor

WEIGHTS = "model_weights.ckpt"
_FOLDER = re.compile(r"(?:mp_rank_(\d{2})|tp_rank_(\d{2})_pp_rank_(\d{3}))/" + re.escape(WEIGHTS))
_PREFIX = re.compile(r"model\.(?:module\.)?(?=language_model\.|lm_head\.|binary_head\.|word_embeddings\.)")


def read_parts(archive: Archive) -> Parts:
    """Return the tensors of all ranks, not yet read; raises `ConvertError` unless every rank is there."""
    found: dict[tuple[int, int], str] = {}
    for name in archive.members:
        if match := _FOLDER.fullmatch(name):
            found[int(match[1] or match[2] or 0), int(match[3] or 0)] = name
        elif name == WEIGHTS:
            found[0, 0] = name
    _require_all(archive, found)
    return {rank: _part(archive, name) for rank, name in sorted(found.items())}


def _require_all(archive: Archive, found: Mapping[tuple[int, int], str]) -> None:
    if not found:
        distributed = any(name.startswith("model_weights/") for name in archive.members)
        raise ConvertError(
            f"{archive.path}: expected {WEIGHTS}, found "
            + (
                "a distributed checkpoint of Megatron Core. Unpack the archive with tar and convert its folder model_weights."
                if distributed
                else f"{', '.join(sorted(archive.members)[:10])}."
            )
        )
    tensor, pipeline = (1 + max(rank[axis] for rank in found) for axis in (0, 1))
    if tensor * pipeline != len(found) or len(set(found.values())) != len(found):
        raise ConvertError(
            f"{archive.path}: expected the weights of {tensor} x {pipeline} ranks, found {', '.join(sorted(found.values())[:20])}. "
            f"The archive is incomplete."
        )


def _part(archive: Archive, name: str) -> Part:
    content = open_torch_file(archive.member(name))
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConvertError(
            f"{archive.path}: {name}: expected tensors by name, found {type(content).__name__}."
        )
    part: dict[str, LazyTensor] = {}
    for key, value in content.items():
        if not isinstance(value, LazyTensor):
            raise ConvertError(
                f"{archive.path}: {name}: expected a tensor for {key[:80]}, found {type(value).__name__}."
            )
        part[_megatron_name(archive, name, key, content)] = value
    if len(part) != len(content):
        raise ConvertError(
            f"{archive.path}: {name}: two of its tensors have the same name without their prefix."
        )
    return part


def _megatron_name(archive: Archive, file: str, key: str, keys: Mapping[str, object]) -> str:
    name, replaced = _PREFIX.subn("", key, count=1)
    if not replaced or not _PREFIX.match(key):
        raise ConvertError(f"{archive.path}: {file}: {_explained(key, keys)}")
    return canonical_name(name)


def _explained(key: str, keys: Mapping[str, object]) -> str:
    if any(name.startswith("bert_model.") for name in keys):
        heads = sorted({name.split(".")[0] for name in keys} - {"bert_model"})
        return (
            f"expected a pretrained model (model.language_model and model.lm_head), found a fine-tuned encoder (bert_model) with "
            f"{', '.join(heads[:5]) or 'no head'}. Its masked-LM head is missing; convert the archive that it was made from."
        )
    if any(
        ".linear_qkv." in name or name.startswith(("model.decoder.", "model.embedding.")) for name in keys
    ):
        return (
            f"expected Megatron-LM's layers, found Megatron Core's ({key[:80]}). Such archives are not read; convert the "
            f"checkpoint that it was made from with --from megatron_core."
        )
    return f"expected tensors model.language_model... and model.lm_head..., found {key[:80]}."
