"""The memory at the head of each recipe is the planner's for the layout that its commands give."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from megatron_bio.config.costs import masked_budget
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.planning.layout import Layout, Workload
from megatron_bio.planning.memory import peak_memory
from tests.examples.test_recipes import MODELS, commands, head, name


def planned_gib(config: PretrainConfig, gpus: int) -> float:
    data, training = config.data, config.training
    predictions = data.sequence_length
    if config.model.architecture == "bert":
        predictions = masked_budget(data.masked_lm_probability, data.sequence_length)
    workload = Workload(
        model=config.model,
        sequence_length=data.sequence_length,
        predictions=predictions,
        global_batch_size=training.global_batch_size,
        precision=training.precision,
    )
    parallel = replace(config.parallel, data_parallel=config.parallel.data_parallel_size(gpus))
    layout = Layout(parallel=parallel, micro_batch_size=training.micro_batch_size)
    return peak_memory(workload, layout).total / 2**30


@pytest.mark.parametrize("path", MODELS, ids=name)
def test_memory_is_the_planners(path: Path) -> None:
    hardware = " ".join(head(path)["Hardware"].split())
    said = re.search(r"(\d+) GiB on one GPU, (\d+) GiB on each of several", hardware)
    assert said, hardware
    one, *several = [planned_gib(command.config, command.gpus) for command in commands(path)[:3]]
    # Rounded up by at most one.
    assert one <= int(said[1]) < one + 1.5
    assert max(several) <= int(said[2]) < max(several) + 1.5
    own_gpu = re.search(r"1 GPU with (\d+) GB\b", hardware)
    assert own_gpu and one < 0.9 * int(own_gpu[1])
    smallest_gpu = min(int(size) for size in re.findall(r"(\d+) GB\b", hardware))
    assert max(several) < 0.9 * smallest_gpu
