"""Token data, tokenizers and configurations of runs that take a second."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributed.checkpoint import load

from megatron_bio.checkpoint.find import resolve_checkpoint
from megatron_bio.checkpoint.reader import RestrictedReader
from megatron_bio.config.data import DataConfig
from megatron_bio.config.model import ModelConfig
from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.config.tokens import PreprocessOptions, TrainVocabularyOptions
from megatron_bio.config.training import OptimizerConfig, TrainingConfig
from megatron_bio.parallel.mesh import build_mesh
from megatron_bio.parallel.world import World, mesh_shape
from megatron_bio.tokens.preprocess import preprocess
from megatron_bio.tokens.vocabulary import train_vocabulary
from megatron_bio.training.pretrain import Run

WORDS = (
    *("insulin", "glucose", "liver", "kidney", "cell", "gene", "protein"),
    *("tumor", "dose", "patient", "therapy", "disease", "blood", "plasma"),
)


def write_documents(path: Path, count: int = 60) -> None:
    """Write documents of one to six sentences over fourteen words."""
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            sentences = [
                " ".join(rng.choice(WORDS, rng.integers(3, 9))).capitalize() + "."
                for _ in range(rng.integers(1, 7))
            ]
            file.write(json.dumps({"id": str(number), "text": " ".join(sentences)}) + "\n")


def make_data(folder: Path, architecture: str) -> None:
    """Make folder/documents.jsonl, folder/vocabulary and folder/tokens."""
    write_documents(folder / "documents.jsonl")
    kind = "wordpiece" if architecture == "bert" else "bpe"
    inputs = [str(folder / "documents.jsonl")]
    train_vocabulary(
        TrainVocabularyOptions(
            inputs=inputs, output=folder / "vocabulary", type=kind, size=400, progress=False
        )
    )
    preprocess(
        PreprocessOptions(
            inputs=inputs, tokenizer=folder / "vocabulary", output=folder / "tokens", progress=False
        )
    )


def config(folder: Path, architecture: str, output: str, **training: Any) -> PretrainConfig:
    """Return a run of six steps with dropout, log lines and checkpoints."""
    values = {"train_steps": 6, "global_batch_size": 8, "micro_batch_size": 2, "precision": "fp32"}
    return PretrainConfig(
        model=ModelConfig(
            architecture=architecture,
            num_layers=2,
            hidden_size=32,
            num_attention_heads=4,
            max_position_embeddings=32,
        ),
        data=DataConfig(
            prefixes=[str(folder / "tokens")],
            tokenizer=str(folder / "vocabulary"),
            sequence_length=32,
            split=(0.8, 0.2, 0.0),
            seed=2,  # No gradient of these few predictions is so near to 0 that AdamW makes steps of its rounding.
        ),
        optimizer=OptimizerConfig(lr=1e-3, warmup_steps=2),
        training=TrainingConfig(
            **{
                **values,
                "output": str(folder / output),
                "device": "cpu",
                "log_interval": 1,
                "evaluation_interval": 3,
                "checkpoint_interval": 2,
                "keep_checkpoints": 5,
                **training,
            }
        ),
    )


def train(run: PretrainConfig, layout: int | ParallelConfig) -> None:
    """Train `run` on the ranks of this case with a layout, or a tensor-parallel size."""
    ranks = torch.distributed.get_world_size()
    if isinstance(layout, int):
        layout = ParallelConfig(tensor_parallel=layout)
    run = replace(run, parallel=layout)
    shape = mesh_shape(layout, ranks)
    rank = torch.distributed.get_rank()
    Run(run, World(rank, shape, build_mesh(shape, "cpu"), torch.device("cpu"))).train()


def tensors(folder: Path, step: int | None = None) -> dict[str, Tensor]:
    """Return all tensors of a run's checkpoint, full, in this process."""
    checkpoint = resolve_checkpoint(folder)
    if step is not None:
        checkpoint = checkpoint.with_name(f"step-{step:08d}")
    reader = RestrictedReader(checkpoint)
    entries = reader.read_metadata().state_dict_metadata
    state = {name: torch.empty(entry.size) for name, entry in entries.items()}
    load(state, storage_reader=reader, no_dist=True)
    return state


def records(folder: Path) -> list[dict[str, Any]]:
    """Return the log of a run without what depends on the clock."""
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    volatile = ("time", "tokens_per_second", "data_wait", "peak_memory_gib", "mfu")
    return [{k: v for k, v in json.loads(line).items() if k not in volatile} for line in lines]
