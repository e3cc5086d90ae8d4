"""What a run of `preprocess` makes from what, and what PREFIX.json says of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from megatron_bio import __version__
from megatron_bio.config.tokens import DOCUMENT_KEYS, PreprocessOptions
from megatron_bio.corpus.building.split import SPLIT_NAMES
from megatron_bio.corpus.work_folder import file_identity, fingerprint
from megatron_bio.tokens.encoding import Encoder
from megatron_bio.tokens.errors import PreprocessError
from megatron_bio.tokens.indexed import data_path, index_path
from megatron_bio.tokens.pending_files import FileDigest
from megatron_bio.tokens.sidecar import Sidecar, sidecar_path
from megatron_bio.tokens.token_inputs import TokenInputs, find_inputs
from megatron_bio.tokens.tokenizer import Tokenizer
from megatron_bio.tokens.unfinished import PartProgress, Progress


class NothingToWriteError(PreprocessError):
    """The same inputs with the same options cannot do better."""


@dataclass(frozen=True, kw_only=True)
class PreprocessJob:
    """Inputs, encoder and outputs, found and checked."""

    options: PreprocessOptions
    inputs: TokenInputs
    files: list[list[object]]
    """What tells each input from another, or from itself changed, as it was at the start."""
    encoder: Encoder
    suffixes: dict[int, str]
    """What is added to the output's name for each part: nothing where there is one, or _train and so on."""

    @classmethod
    def of(cls, options: PreprocessOptions) -> Self:
        """Load the tokenizer and look for the inputs; raises UserError for any that cannot be used."""
        tokenizer = Tokenizer.load(options.tokenizer, options.lowercase)
        if options.lowercase is not None and tokenizer.kind != "wordpiece":
            raise PreprocessError(
                f"--lowercase: {options.tokenizer} is a {tokenizer.kind} tokenizer, which keeps the case. Leave --lowercase out."
            )
        inputs = find_inputs(options.inputs, bool(options.split))
        if options.split:
            suffixes = {
                part: f"_{SPLIT_NAMES[part]}" for part, share in enumerate(options.split) if share > 0
            }
        elif inputs.are_split:
            suffixes = {part: f"_{SPLIT_NAMES[part]}" for part in sorted(set(inputs.parts))}
        else:
            suffixes = {0: ""}
        job = cls(
            options=options,
            inputs=inputs,
            files=[file_identity(path) for path in inputs.files],
            encoder=_encoder(options, tokenizer),
            suffixes=suffixes,
        )
        job._check_outputs()
        return job

    @property
    def prefixes(self) -> dict[int, Path]:
        """The token data, by part."""
        output = self.options.output
        return {part: output.with_name(output.name + suffix) for part, suffix in self.suffixes.items()}

    def _check_outputs(self) -> None:
        """What must not be replaced is refused now, not after hours: what is read, and a foreign file of the manifest's name."""
        read = {path.resolve() for path in self.inputs.files}
        for prefix in self.prefixes.values():
            for path in (data_path(prefix), index_path(prefix), sidecar_path(prefix)):
                if path.resolve() in read:
                    raise PreprocessError(
                        f"--output {self.options.output}: expected other files than those that are read, but {path} is one of "
                        f"--inputs and would be replaced. Give another --output."
                    )
            Sidecar.read(prefix)
        self._check_other_parts()

    def _check_other_parts(self) -> None:
        """Refuse to leave _validation of an earlier split beside a _train that now has its documents."""
        if self.suffixes == {0: ""}:
            return
        output = self.options.output
        for suffix in {f"_{name}" for name in SPLIT_NAMES} - set(self.suffixes.values()):
            prefix = output.with_name(output.name + suffix)
            if index_path(prefix).exists():
                raise PreprocessError(
                    f"--output {output}: {index_path(prefix)} is there from an earlier split, and this run writes no such part: "
                    f"its documents may be in the other parts now. Remove {prefix}.bin, .idx and .json, or give another --output."
                )

    @property
    def made_from(self) -> str:
        """Fingerprint of all that decides what one document becomes."""
        encoder = self.encoder
        return fingerprint(
            {
                "version": __version__,
                "tokenizer": encoder.tokenizer.fingerprint,
                "vocab_size": encoder.tokenizer.vocab_size,
                "split_sentences": encoder.split,
                "eod": encoder.eod,
                "keys": encoder.keys,
                "split": encoder.fractions,
                "seed": encoder.seed,
                "parts": self.suffixes,
            }
        )

    def check_keys(self, progress: Progress) -> None:
        """Raise NothingToWriteError if no document has any of the keys, or one that was asked for by name."""
        missing = [key for key in self.encoder.keys if key not in progress.keys_used]
        if missing and (self.encoder.keys != DOCUMENT_KEYS or len(missing) == len(DOCUMENT_KEYS)):
            raise NothingToWriteError(
                f"--keys: expected documents with text under {', '.join(missing)}, found none in "
                f"{', '.join(self.options.inputs)}, only the keys {', '.join(sorted(progress.keys_found)) or '(none)'}. Give "
                f"those of them whose texts shall become tokens."
            )

    def sidecar(self, part: int, progress: PartProgress, files: dict[str, FileDigest]) -> Sidecar:
        """PREFIX.json of one output."""
        encoder, options = self.encoder, self.options
        kind: Literal["sentences", "documents"] = "sentences" if encoder.split else "documents"
        return Sidecar(
            kind=kind,
            tokenizer=str(options.tokenizer),
            tokenizer_kind=encoder.tokenizer.kind,
            tokenizer_fingerprint=encoder.tokenizer.fingerprint,
            vocab_size=encoder.tokenizer.vocab_size,
            eod=encoder.eod,
            documents=progress.counts.documents,
            sequences=progress.counts.sequences,
            tokens=progress.counts.tokens,
            unknown_tokens=progress.unknown_tokens,
            skipped=dict(sorted(progress.skipped.items())),
            files=files,
            lowercase=encoder.tokenizer.lowercase,
            options={
                "keys": list(encoder.keys),
                "split_sentences": encoder.split,
                "append_eod": encoder.eod is not None,
                "split": list(encoder.fractions),
                "seed": encoder.seed,
                "part": self.suffixes[part].removeprefix("_"),
            },
            inputs=[
                {"file": str(path), "bytes": identity[1]}
                for path, identity, owner in zip(
                    self.inputs.files, self.files, self.inputs.parts, strict=True
                )
                if owner == part or not self.inputs.are_split
            ],
        )


def _encoder(options: PreprocessOptions, tokenizer: Tokenizer) -> Encoder:
    split = options.split_sentences if options.split_sentences is not None else tokenizer.kind == "wordpiece"
    append_eod = options.append_eod if options.append_eod is not None else not split
    if append_eod and not tokenizer.has_eod:
        raise PreprocessError(
            f"--append_eod: expected a tokenizer with an end-of-document token, found none in {options.tokenizer} "
            f"({tokenizer.kind}, {tokenizer.vocab_size} tokens). Give --append_eod false, or a tokenizer made for GPT."
        )
    return Encoder(
        tokenizer=tokenizer,
        split=split,
        eod=tokenizer.eod if append_eod else None,
        keys=tuple(options.keys),
        fractions=tuple(options.split),
        seed=options.seed,
    )
