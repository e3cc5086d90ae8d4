"""How the protocol of a published number differs from ours, field by field."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from megatron_bio.downstream.report.published.row import Published
from megatron_bio.downstream.report.read import TaskResult

COMPARED: Final[Mapping[str, str]] = {
    "train_on": "training data",
    "epochs": "epochs",
    "learning_rate": "learning rate",
    "batch_size": "batch size",
    "max_length": "longest row",
    "seeds": "seeds",
}
_OF_KIND: Final[Mapping[str, Mapping[str, str]]] = {
    "named entities": {"label_pieces": "pieces with a label"},
    "span questions": {"first_task": "first task"},
}


def in_words(task: TaskResult) -> str:
    """Our protocol for a row of a table."""
    settings = task.protocol["settings"]
    chosen = f", grid of {len(task.grid)} on development" if task.grid else ""
    first, imbalance = settings.get("first_task"), settings.get("imbalance", "none")
    chosen += f", first task {first}" if first else ""
    chosen += f", imbalance {imbalance}" if imbalance != "none" else ""
    patience = task.protocol.get("early_stopping")
    chosen += f", early stopping {patience}" if patience else ""
    return (
        f"trained on {task.protocol['train_on']}, {settings.get('epochs')} epochs, lr {settings.get('learning_rate')}, "
        f"batch {settings.get('batch_size')}, {len(task.protocol['seeds'])} seeds{chosen}"
    )


def published_in_words(row: Published) -> str:
    """What is known of a published protocol for a row of a table."""
    names = {**COMPARED, **{name: word for words in _OF_KIND.values() for name, word in words.items()}}
    known = [f"{names[name]} {value}" for name, value in row.protocol.items()]
    return ", ".join(known) if known else "not published"


def difference(row: Published, tasks: Sequence[TaskResult]) -> str:
    """In which fields a published protocol differs from any of ours, and which cannot be compared."""
    differ, unknown = [], []
    for name, word in {**COMPARED, **_OF_KIND.get(tasks[0].kind, {})}.items():
        ours = list(dict.fromkeys(_shown(_ours(task, name)) for task in tasks))
        if name not in row.protocol:
            unknown.append(word)
        elif ours != [_shown(row.protocol[name])]:
            differ.append(f"{word} {_shown(row.protocol[name])}, here {' and '.join(ours)}")
    if not row.protocol:
        return " ".join(filter(None, ("Its protocol is not published; ours may differ in all.", row.remark)))
    found = [
        f"Differs from ours: {'; '.join(differ)}." if differ else "Nothing that was published differs.",
        f"Not published: {', '.join(unknown)}." if unknown else "",
        row.remark,
    ]
    return " ".join(sentence for sentence in found if sentence)


def _ours(task: TaskResult, name: str) -> Any:
    if name == "seeds":
        return len(task.protocol["seeds"])
    return task.protocol[name] if name == "train_on" else task.protocol["settings"].get(name, "not recorded")


def _shown(value: Any) -> str:
    return "none" if value in (None, "") else str(value)
