"""Where the files of a checkpoint are.

    DIR/latest_checkpointed_iteration.txt                                       "120000" or "release"
    DIR/iter_0120000/mp_rank_TT/model_optim_rng.pt                              tensor-parallel ranks
    DIR/iter_0120000/mp_rank_TT_PPP/model_optim_rng.pt                          and pipeline stages
    NAME.pt                                                                     one file, as NVIDIA published MegatronBERT.pt

Source: Megatron-LM, checkpointing.py, `get_checkpoint_name`.
"""

import re
from pathlib import Path

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.torch_file.open import is_torch_file

TRACKER = "latest_checkpointed_iteration.txt"
SHARD = "model_optim_rng.pt"
DISTRIBUTED_OPTIMIZER = "distrib_optim.pt"
_RANK = re.compile(r"mp_rank_(\d{2})(?:_(\d{3}))?")
_RELEASE = "release"
_LONGEST_TRACKER = 64


def rank_folder(tensor: int, stage: int, stages: int) -> str:
    """Return the name of a rank's folder; stages are in it if there are several."""
    return f"mp_rank_{tensor:02d}" + (f"_{stage:03d}" if stages > 1 else "")


def iteration_folder(step: int) -> str:
    """Return the name of an iteration's folder; `release` for weights without one."""
    return f"iter_{step:07d}" if step else _RELEASE


def recognises(path: Path) -> bool:
    """Whether it is a file of torch.save that is not in a Hugging Face folder, or a folder with ranks in it."""
    if path.is_file():
        return is_torch_file(path)
    return path.is_dir() and _ranks_folder(path) is not None


def _ranks_folder(path: Path) -> Path | None:
    """Return the folder that has the ranks: the path, or the iteration in it that the tracker names."""
    if _has_ranks(path):
        return path
    tracker = path / TRACKER
    if not tracker.is_file() or tracker.stat().st_size > _LONGEST_TRACKER:
        return None
    word = tracker.read_text(encoding="utf-8", errors="replace").strip()
    folder = path / (iteration_folder(int(word)) if re.fullmatch(r"\d{1,12}", word) else _RELEASE)
    return folder if _has_ranks(folder) else None


def _has_ranks(folder: Path) -> bool:
    return folder.is_dir() and any(
        _RANK.fullmatch(entry.name) and (entry / SHARD).is_file() for entry in folder.iterdir()
    )


def find_shards(path: Path) -> dict[tuple[int, int], Path]:
    """Return the file of each (tensor-parallel rank, stage); raises `ConvertError` unless every rank is there."""
    if path.is_file():
        return {(0, 0): path}
    folder = _ranks_folder(path)
    if folder is None:
        raise ConvertError(
            f"{path}: expected {TRACKER} with an iteration's folder, or folders mp_rank_…/{SHARD}; found "
            f"{', '.join(sorted(entry.name for entry in path.iterdir())[:8]) or 'nothing'}."
        )
    found: dict[tuple[int, int], Path] = {}
    for entry in sorted(folder.iterdir()):
        if match := _RANK.fullmatch(entry.name):
            found[int(match[1]), int(match[2] or 0)] = entry / SHARD
    tensor, stages = (1 + max(rank[axis] for rank in found) for axis in (0, 1))
    missing = [
        rank_folder(rank, stage, stages)
        for rank in range(tensor)
        for stage in range(stages)
        if (rank, stage) not in found or not found[rank, stage].is_file()
    ]
    if missing:
        raise ConvertError(
            f"{folder}: expected {SHARD} of {tensor} tensor-parallel ranks and {stages} pipeline stages; missing: "
            f"{', '.join(missing[:8])}. Copy all folders of the checkpoint."
        )
    return found
