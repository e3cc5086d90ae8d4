"""Second stage: the verdicts on all documents, step by step, each step kept in the work folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megatron_bio.config.build import BuildCorpusOptions
from megatron_bio.corpus.atomic_file import atomic_file
from megatron_bio.corpus.building.collection import Collection, Flags, Numbers
from megatron_bio.corpus.building.copied_sentences import drop_copied_sentences
from megatron_bio.corpus.building.exact_duplicates import drop_exact_duplicates, find_articles
from megatron_bio.corpus.building.near_duplicates import drop_near_duplicates
from megatron_bio.corpus.building.verdicts import INSIDE_ARTICLE, WHOLE_COPIES, Verdicts
from megatron_bio.corpus.work_folder import fingerprint

Step = Callable[[Verdicts], None]


@dataclass(frozen=True)
class Deduplication:
    """The steps on one collection, in their order; `made_from` vouches for the parts and the options."""

    collection: Collection
    folder: Path
    made_from: str
    options: BuildCorpusOptions
    article: Flags

    def verdicts(self) -> Verdicts:
        """Runs the steps that no earlier run has finished.

        1. Same records and same words. 2. Near duplicates, but abstracts that an article holds are not asked. 3. Articles made
        of copied sentences. 4. Abstracts that an article holds which is kept, or of which a copy is. 5. All others made
        of copied sentences. Articles are thus never dropped in favour of anything else, and an abstract only leaves when
        its article stays.
        """
        verdicts = Verdicts.none(self.collection.documents)
        if not self.collection.documents:
            return verdicts
        for name, step in (
            ("exact", self._exact),
            ("near", self._near),
            ("articles", self._copied_articles),
            ("abstracts", self._abstracts),
            ("others", self._copied_others),
        ):
            verdicts = self._finished(name, step, verdicts)
        return verdicts

    def _finished(self, name: str, step: Step, verdicts: Verdicts) -> Verdicts:
        path = self.folder / f"verdicts-{name}.npz"
        made_from = fingerprint({"made_from": self.made_from, "step": name})
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if arrays["fingerprint"].item() == made_from:
                    names = ("reason", "documents", "of", "similarity")
                    return Verdicts(*(arrays[column] for column in names))
        except FileNotFoundError:
            pass
        step(verdicts)
        with atomic_file(path) as file:
            np.savez(file, fingerprint=np.array(made_from), **vars(verdicts))
        return verdicts

    def _exact(self, verdicts: Verdicts) -> None:
        drop_exact_duplicates(self.collection, self.article, verdicts, self.options.workers)

    def _near(self, verdicts: Verdicts) -> None:
        similarity = self.options.near_duplicate_similarity
        if similarity:
            candidates = verdicts.kept
            candidates[self._held(verdicts)[0]] = False
            drop_near_duplicates(
                self.collection, self.article, candidates, verdicts, similarity, self.options.workers
            )

    def _copied_articles(self, verdicts: Verdicts) -> None:
        if self.article.any():
            self._copied(verdicts, self.article, np.zeros_like(self.article))

    def _abstracts(self, verdicts: Verdicts) -> None:
        abstracts, articles = self._held(verdicts)
        holders = verdicts.keepers(articles, WHOLE_COPIES)
        held = holders >= 0
        verdicts.drop(INSIDE_ARTICLE, abstracts[held], holders[held])

    def _copied_others(self, verdicts: Verdicts) -> None:
        self._copied(verdicts, ~self.article, self.article)

    def _copied(self, verdicts: Verdicts, deciding: Flags, earlier: Flags) -> None:
        fraction = self.options.copied_sentence_fraction
        if fraction:
            drop_copied_sentences(
                self.collection, deciding, earlier, verdicts, fraction, self.options.workers
            )

    def _held(self, verdicts: Verdicts) -> tuple[Numbers, Numbers]:
        return find_articles(self.collection, self.article, verdicts, self.options.workers)
