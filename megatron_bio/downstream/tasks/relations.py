"""Relations as classes of sentences: ChemProt from its original files.

The two arguments are replaced by `@TYPE$` (J. Lee et al., BioBERT, arXiv 1901.08746) or set between marks, `[E1] … [/E1]`. Neither
is a token of its own: they become ordinary pieces, so that a model needs no new embeddings.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from megatron_bio.config.errors import ConfigurationError
from megatron_bio.downstream.readers.chemprot import CLASSES, ChemProtFiles, chemprot_part, read_chemprot
from megatron_bio.downstream.readers.relation_forms import FALSE, Pair, Relation
from megatron_bio.downstream.scorers import chemprot
from megatron_bio.downstream.scorers.counts import Scores
from megatron_bio.downstream.tasks.form import Encoded, Examples, Logits, PartName, Row, Settings, Task
from megatron_bio.downstream.tasks.parts import used, without_overlap
from megatron_bio.downstream.tasks.rows import Rows, cut, stretch_around
from megatron_bio.tokens.data_file import DataFile

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CUT = "sentence cut around its arguments"
TOO_FAR_APART = "arguments too far apart for a row, predicted without a relation"
REPEATED = "evaluated relation that is given a second time"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """What a classifier reads: `text`, of which characters `start` to `end` (exclusive) hold both arguments."""

    text: str
    start: int
    end: int


def sentence_of(pair: Pair, form: str) -> Sentence:
    """A pair as its sentence, `form` being "marked" or "anonymised"."""
    text = pair.marked() if form == "marked" else pair.anonymised()
    behind = len(pair.text) - max(pair.first.end, pair.second.end)
    return Sentence(text=text, start=min(pair.first.start, pair.second.start), end=len(text) - behind)


def sentence_rows(
    sentences: Sequence[Sentence], tokenizer: "PreTrainedTokenizerFast", settings: Settings
) -> tuple[list[Row | None], Counter[str]]:
    """A row for each sentence, None where its arguments do not fit, and how many were cut or have none."""
    rows = Rows(tokenizer, settings.max_length, texts=1)
    shortened: Counter[str] = Counter()
    result: list[Row | None] = []
    encodings = rows.pieces([sentence.text for sentence in sentences])
    for sentence, pieces in zip(sentences, encodings, strict=True):
        if len(pieces) > rows.room:
            stretch = stretch_around(pieces, sentence.start, sentence.end, rows.room)
            shortened[CUT if stretch else TOO_FAR_APART] += 1
            result.append(rows.row(cut(pieces, *stretch)) if stretch else None)
        else:
            result.append(rows.row(pieces))
    return result, shortened


@dataclass(frozen=True, kw_only=True, slots=True)
class RelationDocument:
    """The pairs of an abstract, and all its evaluated relations, also those that no pair holds: a scorer counts them as missed."""

    id: str
    pairs: tuple[Pair, ...]
    gold: tuple[Relation, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PairPlace:
    """Document and pair, by number."""

    document: int
    pair: int


class ChemProtTask(Task[RelationDocument, PairPlace, tuple[str, ...]]):
    """BioCreative VI track 5: micro-F1 of CPR:3, 4, 5, 6 and 9 together. A prediction is the class of each pair of a document.

    Defaults are those of the BioMegatron paper (arXiv 2010.06060, table 2); it gives no batch size, 32 is BioBERT's.
    """

    name = "ChemProt"
    benchmark = "ChemProt"
    kind = "relations"
    head = "sequence"
    main_measure = ("micro", "f1")
    defaults = Settings(
        learning_rate=5e-5,
        epochs=30,
        batch_size=32,
        max_length=128,
        warmup_fraction=0.1,
        weight_decay=0.0,
        head_layers=1,
        head_size=None,
        head_dropout=0.5,
    )

    def read(self, files: Mapping[PartName, tuple[Path, ...]]) -> dict[PartName, Examples[RelationDocument]]:
        """Read the four files of each part; one of relations and gold standard is enough.

        Documents that have neither a pair nor a relation are not examples: nothing can be learnt from or scored in them.
        """
        parts = {part: _read_part(paths) for part, paths in files.items() if paths}
        return without_overlap(parts, lambda document: document.id)

    def labels(self, parts: Mapping[PartName, Examples[RelationDocument]]) -> tuple[str, ...]:
        """`false` and the five classes."""
        return (FALSE, *CLASSES)

    def encode(
        self,
        examples: Sequence[RelationDocument],
        tokenizer: "PreTrainedTokenizerFast",
        settings: Settings,
        labels: Sequence[str],
        training: bool,
    ) -> Encoded[PairPlace]:
        """A row for each pair. One whose arguments do not fit into a row has none, in training too."""
        places = [
            PairPlace(document=number, pair=index)
            for number, document in enumerate(examples)
            for index in range(len(document.pairs))
        ]
        pairs = [examples[place.document].pairs[place.pair] for place in places]
        rows, shortened = sentence_rows(
            [sentence_of(pair, settings.relation_form) for pair in pairs], tokenizer, settings
        )
        made = [
            (place, row | {"labels": labels.index(pair.label)} if training else row)
            for place, row, pair in zip(places, rows, pairs, strict=True)
            if row is not None
        ]
        return Encoded(
            features=[row for _, row in made], places=tuple(place for place, _ in made), shortened=shortened
        )

    def predictions(
        self,
        examples: Sequence[RelationDocument],
        encoded: Encoded[PairPlace],
        outputs: Sequence[Logits],
        labels: Sequence[str],
    ) -> tuple[tuple[str, ...], ...]:
        """The likeliest class of each pair, `false` for one without a row."""
        predicted = [[FALSE] * len(document.pairs) for document in examples]
        for place, logits in zip(encoded.places, outputs, strict=True):
            predicted[place.document][place.pair] = labels[int(logits.argmax())]
        return tuple(map(tuple, predicted))

    def score(self, examples: Sequence[RelationDocument], predictions: Sequence[tuple[str, ...]]) -> Scores:
        """Compare with all evaluated relations of the documents."""
        return chemprot.score_chemprot(_gold(examples), _predicted(examples, predictions))

    def write(
        self, examples: Sequence[RelationDocument], predictions: Sequence[tuple[str, ...]], folder: Path
    ) -> None:
        """Write `gold.tsv` and `predictions.tsv` in the form of ChemProt's gold standard, pairs with `false` too."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, relations in (
            ("gold", _gold(examples)),
            ("predictions", _predicted(examples, predictions)),
        ):
            text = "".join("\t".join(relation) + "\n" for relation in relations)
            (folder / f"{name}.tsv").write_text(text, encoding="utf-8")


def _gold(examples: Sequence[RelationDocument]) -> list[chemprot.Relation]:
    return [
        chemprot.Relation(
            relation.document, relation.label, f"Arg1:{relation.first}", f"Arg2:{relation.second}"
        )
        for document in examples
        for relation in document.gold
    ]


def _predicted(
    examples: Sequence[RelationDocument], predictions: Sequence[tuple[str, ...]]
) -> list[chemprot.Relation]:
    return [
        chemprot.Relation(pair.document, label, f"Arg1:{pair.first.id}", f"Arg2:{pair.second.id}")
        for document, predicted in zip(examples, predictions, strict=True)
        for pair, label in zip(document.pairs, predicted, strict=True)
    ]


def _read_part(paths: Sequence[Path]) -> Examples[RelationDocument]:
    documents: dict[str, RelationDocument] = {}
    left_out: Counter[str] = Counter()
    for files in _sets(paths):
        found = read_chemprot(files)
        left_out += found.left_out
        gold = tuple(dict.fromkeys(found.gold))
        left_out[REPEATED] += len(found.gold) - len(gold)
        pairs_of: dict[str, list[Pair]] = {}
        gold_of: dict[str, list[Relation]] = {}
        for pair in found.pairs:
            pairs_of.setdefault(pair.document, []).append(pair)
        for relation in gold:
            gold_of.setdefault(relation.document, []).append(relation)
        for pmid in dict.fromkeys([*pairs_of, *gold_of]):
            if pmid in documents:
                raise ConfigurationError(
                    f"{files.abstracts}: expected documents that no other file of this part has, found {pmid} again. "
                    "Name each set once; the sample is a part of the training set."
                )
            documents[pmid] = RelationDocument(
                id=pmid, pairs=tuple(pairs_of.get(pmid, ())), gold=tuple(gold_of.get(pmid, ()))
            )
    read = [path for path in paths if chemprot_part(path)]
    return Examples(
        examples=tuple(documents.values()),
        files=tuple(used(DataFile(path)) for path in read),
        left_out=+left_out,
    )


def _sets(paths: Sequence[Path]) -> list[ChemProtFiles]:
    sets: dict[str, dict[str, Path]] = {}
    for path in paths:
        if part := chemprot_part(path):
            name, kind = part
            if kind in sets.setdefault(name, {}):
                raise ConfigurationError(
                    f"{path}: expected one file of each kind for {name}, found {sets[name][kind]} too."
                )
            sets[name][kind] = path
    if not sets:
        raise ConfigurationError(
            f"{', '.join(map(str, paths))}: expected ChemProt's NAME_abstracts.tsv, NAME_entities.tsv and "
            "NAME_relations.tsv or NAME_gold_standard.tsv, found none of these names."
        )
    for name, kinds in sets.items():
        for needed in (("abstracts",), ("entities",), ("relations", "gold_standard")):
            if not kinds.keys() & set(needed):
                raise ConfigurationError(
                    f"{next(iter(kinds.values()))}: expected {' or '.join(f'{name}_{kind}.tsv' for kind in needed)} "
                    f"beside it, found {', '.join(path.name for path in kinds.values())}."
                )
    return [
        ChemProtFiles(
            name=name,
            abstracts=kinds["abstracts"],
            entities=kinds["entities"],
            relations=kinds.get("relations"),
            gold_standard=kinds.get("gold_standard"),
        )
        for name, kinds in sets.items()
    ]
