"""The table of a build for the terminal."""

from rich.console import Console
from rich.table import Table

from megatron_bio.corpus.building.manifest import Result
from megatron_bio.corpus.building.split import SPLIT_NAMES

LOSSES_SHOWN = 10


def print_report(result: Result) -> None:
    """What was read, dropped by reason and kept, and the splits, on stdout."""
    console = Console(width=100, highlight=False)
    console.print(_fates(result))
    console.print(_splits(result))
    if result.repeated_ids.documents:
        console.print(
            f"ids: kept with the id of another kept document, but another text: {result.repeated_ids.documents:,}; the first "
            f"is {result.repeated_ids.example!r}. Give ids that are unique if that was not meant.",
            markup=False,
            soft_wrap=True,
        )
    for loss in result.losses[:LOSSES_SHOWN]:
        console.print(f"damaged: {loss['file']}: {loss['message']}", markup=False, soft_wrap=True)
    if len(result.losses) > LOSSES_SHOWN:
        console.print(f"and {len(result.losses) - LOSSES_SHOWN:,} more places of damage, all in the manifest")


def _fates(result: Result) -> Table:
    table = Table("", box=None, pad_edge=False)
    for name in ("documents", "of all", "words"):
        table.add_column(name, justify="right")
    total = result.read.total()
    rows = [("read", total)]
    rows += [(f"dropped: {reason}", amounts) for reason, amounts in result.dropped.by_reason().items()]
    rows += [("kept", result.kept.total())]
    by_source = result.kept.by_source()
    if len(by_source) > 1:
        rows += [(f"  from {source}", amounts) for source, amounts in by_source.items()]
    for name, (documents, words, _) in rows:
        table.add_row(name, f"{documents:,}", f"{documents / max(1, total[0]):.2%}", f"{words:,}")
    return table


def _splits(result: Result) -> Table:
    table = Table("split", box=None, pad_edge=False)
    for name in ("documents", "words", "shards", "megabytes"):
        table.add_column(name, justify="right")
    for name in SPLIT_NAMES:
        own = [shard for shard in result.shards if shard.file.startswith(f"{name}/")]
        table.add_row(
            name,
            f"{sum(shard.documents for shard in own):,}",
            f"{sum(shard.words for shard in own):,}",
            f"{len(own):,}",
            f"{sum(shard.bytes for shard in own) / 1e6:,.1f}",
        )
    return table
