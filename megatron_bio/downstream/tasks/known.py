"""The tasks by name, each with where its data are found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.data_check.findings import Findings
from megatron_bio.downstream.tasks.bioasq_factoid import BioASQFactoidTask
from megatron_bio.downstream.tasks.bioasq_list import BioASQListTask
from megatron_bio.downstream.tasks.choices import ChoiceTask
from megatron_bio.downstream.tasks.classified_questions import BioASQYesNoTask, PubMedQATask
from megatron_bio.downstream.tasks.files import files_of, is_unanswerable
from megatron_bio.downstream.tasks.form import PartName, Task
from megatron_bio.downstream.tasks.named_entities import NamedEntityTask
from megatron_bio.downstream.tasks.relation_tables import RelationTableTask
from megatron_bio.downstream.tasks.relations import ChemProtTask
from megatron_bio.downstream.tasks.span_questions import SquadTask

AnyTask = Task[Any, Any, Any]
_ENTITY_FILES = ("IOB", "PubTator")
_TABLES = ("relation table",)
_CHOICES = ("MedQA", "MedMCQA")
_ABSTRACTS = ("PubMedQA", "PubMedQA decisions")
_BIOASQ = ("BioASQ",)
_SQUAD_FILES = ("SQuAD",)


@dataclass(frozen=True, kw_only=True)
class KnownTask:
    """How a task is made, and which files it takes."""

    make: Callable[[str], AnyTask]
    benchmarks: tuple[tuple[str, ...], ...]
    """Sets of benchmarks, as `data check` names them; the first set that is there is taken whole."""
    kinds: tuple[str, ...]
    takes: Callable[[Path], bool] = lambda path: True
    """Which of the files of these forms."""

    def files(self, findings: Findings) -> dict[PartName, tuple[Path, ...]]:
        """The files by part; none if there are none."""
        for together in self.benchmarks:
            found = {
                part: fitting
                for part, paths in files_of(findings, together, self.kinds).items()
                if (fitting := tuple(path for path in paths if self.takes(path)))
            }
            if found:
                return found
        return {}


def _entities(name: str, *instead: tuple[str, ...]) -> KnownTask:
    make = partial(NamedEntityTask, together=bool(instead))
    return KnownTask(make=make, benchmarks=((name,), *instead), kinds=_ENTITY_FILES)


def _squad(*, unanswerable: bool) -> KnownTask:
    return KnownTask(
        make=lambda _: SquadTask(unanswerable=unanswerable),
        benchmarks=(("SQuAD",),),
        kinds=("SQuAD",),
        takes=lambda path: is_unanswerable(path) is unanswerable,
    )


def _bioasq(make: Callable[[str], AnyTask], question_type: str) -> KnownTask:
    """A file in SQuAD's form does not say of which type its questions are, but its name may."""
    others = {"factoid", "list", "yesno"} - {question_type}
    return KnownTask(
        make=make,
        benchmarks=(("BioASQ",),),
        kinds=("BioASQ", "SQuAD"),
        takes=lambda path: not any(other in path.name.casefold() for other in others),
    )


KNOWN: Mapping[str, KnownTask] = MappingProxyType(
    {
        "BC5CDR-chem": _entities("BC5CDR-chem"),
        "BC5CDR-disease": _entities("BC5CDR-disease"),
        "BC5CDR": _entities("BC5CDR", ("BC5CDR-chem", "BC5CDR-disease")),
        "NCBI-disease": _entities("NCBI-disease"),
        "BC2GM": _entities("BC2GM"),
        "JNLPBA": _entities("JNLPBA"),
        "ChemProt": KnownTask(
            make=lambda _: ChemProtTask(), benchmarks=(("ChemProt",),), kinds=("ChemProt",)
        ),
        "GAD": KnownTask(make=RelationTableTask, benchmarks=(("GAD",),), kinds=_TABLES),
        "SQuAD1.1": _squad(unanswerable=False),
        "SQuAD2.0": _squad(unanswerable=True),
        "BioASQ-factoid": _bioasq(BioASQFactoidTask, "factoid"),
        "BioASQ-list": _bioasq(BioASQListTask, "list"),
        "MedQA": KnownTask(make=ChoiceTask, benchmarks=(("MedQA",),), kinds=_CHOICES),
        "MedMCQA": KnownTask(make=ChoiceTask, benchmarks=(("MedMCQA",),), kinds=_CHOICES),
        "PubMedQA": KnownTask(make=PubMedQATask, benchmarks=(("PubMedQA",),), kinds=_ABSTRACTS),
        "BioASQ-yesno": KnownTask(make=BioASQYesNoTask, benchmarks=(("BioASQ",),), kinds=_BIOASQ),
    }
)

_OWN: Mapping[str, tuple[Callable[[str], AnyTask], tuple[str, ...]]] = MappingProxyType(
    {
        "entities": (NamedEntityTask, _ENTITY_FILES),
        "relations": (RelationTableTask, _TABLES),
        "choices": (ChoiceTask, _CHOICES),
        "decisions": (PubMedQATask, _ABSTRACTS),
        "yesno": (BioASQYesNoTask, _BIOASQ),
        "squad": (partial(SquadTask, unanswerable=False), _SQUAD_FILES),
        "squad2": (partial(SquadTask, unanswerable=True), _SQUAD_FILES),
    }
)
"""Kind of a task of the user's own data to its task and forms of files."""
ALL = "all"


def named_tasks(
    names: Sequence[str], findings: Findings, look: Callable[[str], Findings]
) -> list[tuple[AnyTask, dict[PartName, tuple[Path, ...]]]]:
    """The tasks with their files. `all` is every known task with a training part and one to score.

    `look` gives the findings of a folder below the data, for KIND:FOLDER. Raises ConfigurationError for a name that is none,
    and for data that are not there.
    """
    result = []
    for name in names:
        if name == ALL:
            result += [found for known in KNOWN if (found := _known(known, findings)) and _is_whole(found[1])]
            if not result:
                raise ConfigurationError(
                    f"--tasks all: expected data of one of {', '.join(KNOWN)}, found none. "
                    "`megatron-bio data check` says what there is."
                )
        elif ":" in name:
            result.append(_own(name, look))
        elif name in KNOWN:
            result.append(_known(name, findings))
        else:
            raise ConfigurationError(
                f"--tasks {name}: expected all, one of {', '.join(KNOWN)}, or KIND:FOLDER with a kind of {', '.join(_OWN)}."
            )
    repeated = {task.name for task, _ in result if sum(other.name == task.name for other, _ in result) > 1}
    if repeated:
        raise ConfigurationError(
            f"--tasks: expected each task once, found {', '.join(sorted(repeated))} again."
        )
    return result


def passed_over(findings: Findings) -> list[str]:
    """What `all` leaves out although a part of it is there: tasks without a training part or without one to score."""
    return [name for name in KNOWN if (files := KNOWN[name].files(findings)) and not _is_whole(files)]


def _known(name: str, findings: Findings) -> tuple[AnyTask, dict[PartName, tuple[Path, ...]]]:
    return KNOWN[name].make(name), KNOWN[name].files(findings)


def _own(name: str, look: Callable[[str], Findings]) -> tuple[AnyTask, dict[PartName, tuple[Path, ...]]]:
    kind, _, folder = name.partition(":")
    if kind not in _OWN:
        raise ConfigurationError(f"--tasks {name}: expected a kind of {', '.join(_OWN)} before the colon.")
    make, kinds = _OWN[kind]
    findings = look(folder)
    benchmarks = {part.benchmark for part in findings.parts}
    return make(name), files_of(findings, benchmarks, kinds, whole=True)


def _is_whole(files: Mapping[PartName, Sequence[Path]]) -> bool:
    return "train" in files and len(files) > 1
