"""Which cases the equality tests run: every pair of settings in `pairwise`, every layout in `every_layout`."""

import itertools
from collections.abc import Iterable, Iterator
from random import Random

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.config.parallel import ParallelConfig
from tests.distributed.batches import ROWS
from tests.distributed.training_case import MICROBATCHES, Case

LARGEST = 8
SETTINGS: dict[str, tuple[object, ...]] = {
    "architecture": ("bert", "gpt"),
    "tensor_parallel": (1, 2, 4),
    "pipeline_parallel": (1, 2, 4),
    "data_parallel": (1, 2, 4),
    "zero": (0, 1, 2, 3),
    "pipeline_schedule": ("1f1b", "interleaved", "zero_bubble", "zbv"),
    "sequence_parallel": (False, True),
    "hybrid": (False, True),
    "recompute": (("none", 1), ("selective", 1), ("full", 1), ("full", 2)),
    "dropout": (0.0, 0.1),
}
Settings = dict[str, object]


def case_of(settings: Settings) -> Case | None:
    """Return the case of these settings; None if they contradict each other or say the same as others."""
    s = dict(settings)
    data, pipeline, tensor = s["data_parallel"], s["pipeline_parallel"], s["tensor_parallel"]
    if data * pipeline * tensor > LARGEST:
        return None
    recompute, every = s.pop("recompute")
    hybrid = s.pop("hybrid")
    without_effect = (
        (pipeline == 1 and s["pipeline_schedule"] != "1f1b")
        or (data == 1 and s["zero"] != 1)
        or (tensor == 1 and s["sequence_parallel"])
        or (hybrid and (data < 4 or s["zero"] == 0))
    )
    if without_effect:
        return None
    architecture, dropout = s.pop("architecture"), s.pop("dropout")
    try:
        layout = ParallelConfig(
            **s,
            recompute=recompute,
            recompute_every=every,
            data_parallel_shard=2 if hybrid else None,
        )
        layout.check_microbatches(min(MICROBATCHES, ROWS // data))
    except ConfigurationError:
        return None
    return Case(architecture, layout, data * pipeline * tensor, dropout)


def all_settings() -> Iterator[tuple[Settings, Case]]:
    """Yield every valid combination."""
    for values in itertools.product(*SETTINGS.values()):
        settings = dict(zip(SETTINGS, values, strict=True))
        if case := case_of(settings):
            yield settings, case


def pairs(settings: Settings) -> Iterable[object]:
    return itertools.combinations(sorted(settings.items()), 2)


def pairwise() -> list[Case]:
    """Return few cases such that every possible pair of settings is in one (greedy, the same list every time)."""
    random = Random(0)
    having: dict[object, list[tuple[Settings, Case]]] = {}
    for entry in all_settings():
        for pair in pairs(entry[0]):
            having.setdefault(pair, []).append(entry)
    left = dict.fromkeys(sorted(having, key=lambda pair: (len(having[pair]), str(pair))))
    chosen = []
    while left:
        choices = having[next(iter(left))]
        drawn = random.sample(choices, min(60, len(choices)))
        settings, case = max(drawn, key=lambda entry: sum(pair in left for pair in pairs(entry[0])))
        chosen.append(case)
        for pair in pairs(settings):
            left.pop(pair, None)
    return chosen


def every_layout() -> list[Case]:
    """Return every architecture x layout x zero x schedule, with recompute, dropout and the rest dealt in turn."""
    key = (
        "architecture",
        "tensor_parallel",
        "pipeline_parallel",
        "data_parallel",
        "zero",
        "pipeline_schedule",
    )
    groups: dict[object, list[Case]] = {}
    for settings, case in all_settings():
        groups.setdefault(tuple(settings[name] for name in key), []).append(case)
    return [cases[index * 7 % len(cases)] for index, cases in enumerate(groups.values())]
