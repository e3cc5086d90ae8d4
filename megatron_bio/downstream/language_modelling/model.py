"""A model of transformers that says what each prediction of a row costs.

Shapes: R rows of a batch, S tokens of the longest, N predictions of all of them, H hidden size, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megatron_bio.config.errors import ConfigurationError, UserError
from megatron_bio.config.evaluate_lm import LanguageModelKind
from megatron_bio.convert.hugging_face.reference import quiet
from megatron_bio.downstream.language_modelling.rows import Row, TokenizedDocument
from megatron_bio.downstream.model_identity import opening_weights

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_LOSSES_AT_ONCE = 1024
_UNLIMITED = 1_000_000
"""Tokenizers that know no limit name one of 1e30."""


@dataclass(frozen=True)
class Scored:
    """What the predictions of a batch cost, by row."""

    nats: list[float]
    """[R]: sum of -ln p of the targets."""
    right: list[int]
    """[R]: how many targets were the likeliest token."""


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """A model with its tokenizer."""

    kind: LanguageModelKind
    model: Any
    tokenizer: Any
    positions: int | None
    """Most tokens that it was made for; None if nothing limits them."""
    device: torch.device

    def tokenize(self, text: str) -> TokenizedDocument:
        """Return the pieces of a text, without special tokens, however long it is."""
        encoded = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        return TokenizedDocument(text=text, ids=encoded["input_ids"], offsets=encoded["offset_mapping"])

    def special_tokens(self) -> tuple[list[int], list[int]]:
        """Return what the tokenizer puts before and after a text."""
        encoded = self.tokenizer("a", return_special_tokens_mask=True)
        ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
        inside = [place for place, is_special in enumerate(special) if not is_special] or [len(ids) // 2]
        return ids[: inside[0]], ids[inside[-1] + 1 :]

    @torch.no_grad()
    def score(self, rows: Sequence[Row]) -> Scored:
        """Compute rows together; what the others are changes a row's numbers by rounding only."""
        length = max(len(row.ids) for row in rows)
        padding = self.model.config.pad_token_id
        ids = torch.full((len(rows), length), 0 if padding is None else padding)
        real = torch.zeros(len(rows), length, dtype=torch.long)
        keep = torch.zeros(len(rows), length, dtype=torch.bool)
        for number, row in enumerate(rows):
            ids[number, : len(row.ids)] = torch.tensor(row.ids)
            real[number, : len(row.ids)] = 1
            keep[number, torch.tensor(row.positions)] = True
        targets = torch.tensor([target for row in rows for target in row.targets], device=self.device)
        owners = torch.repeat_interleave(torch.tensor([len(row.targets) for row in rows]))
        logits = self._logits(ids.to(self.device), real.to(self.device), keep.to(self.device))
        losses, right = _losses(logits, targets)
        return Scored(
            nats=torch.zeros(len(rows), dtype=torch.float64).index_add(0, owners, losses).tolist(),
            right=torch.zeros(len(rows), dtype=torch.long).index_add(0, owners, right).tolist(),
        )

    def _logits(self, ids: Tensor, real: Tensor, keep: Tensor) -> Tensor:
        """Return the logits [N, V] at the places `keep` [R, S] of `ids` [R, S]."""
        try:
            with only_at(self.model.get_output_embeddings(), keep):
                logits: Tensor = self.model(input_ids=ids, attention_mask=real).logits
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"The device has not the memory for {len(ids)} rows of {ids.shape[1]} tokens; give a smaller --batch_size, or "
                f"--precision bf16."
            ) from error
        return logits[keep] if logits.dim() == keep.dim() + 1 else logits


def load_language_model(
    folder: Path,
    *,
    kind: LanguageModelKind | None,
    tokenizer: Path,
    precision: str,
    device: str,
) -> LanguageModel:
    """Open a Hugging Face folder, with the tokenizer in the folder `tokenizer`.

    Raises `ConfigurationError` for what is no language model, or lacks its head.
    """
    import transformers

    found = _device(device)
    try:
        with quiet(transformers):
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            chosen = kind or _kind_of(config, folder)
            reader = transformers.AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
            with opening_weights(folder):
                loaded, about = _class_of(chosen).from_pretrained(
                    folder,
                    local_files_only=True,
                    output_loading_info=True,
                    dtype=_DTYPES[precision],
                    **_attention(config),
                )
    except ConfigurationError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"{folder}: expected a language model that transformers opens; found: {str(error).splitlines()[0]}"
        ) from error
    _require_whole(folder, chosen, about)
    _require_offsets(tokenizer, reader, chosen)
    model = loaded.to(found).eval()
    return LanguageModel(
        kind=chosen, model=model, tokenizer=reader, positions=_positions(model, reader), device=found
    )


@contextmanager
def only_at(head: nn.Module | None, keep: Tensor) -> Iterator[None]:
    """Let the largest product of a forward pass, hidden states by vocabulary, be computed where it is needed only.

    The head then gets hidden states [N, H] instead of [R, S, H]; a model that does not call it is computed as it is.
    """
    if head is None:
        yield
        return

    def select(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *rest = inputs
        return (hidden[keep] if hidden.shape[:-1] == keep.shape else hidden, *rest)

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()


def _losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return -ln p of each target in float64 and whether it is the likeliest, [N] each, on the CPU; computed in float32."""
    losses, right = [], []
    for first in range(0, len(targets), _LOSSES_AT_ONCE):
        some, wanted = logits[first : first + _LOSSES_AT_ONCE], targets[first : first + _LOSSES_AT_ONCE]
        losses.append(F.cross_entropy(some.float(), wanted, reduction="none"))
        right.append(some.argmax(-1) == wanted)
    return torch.cat(losses).double().cpu(), torch.cat(right).long().cpu()


def _device(choice: str) -> torch.device:
    if choice == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(
            "--device cuda: torch finds no CUDA device; `megatron-bio doctor` says what it finds."
        )
    return torch.device("cuda" if choice != "cpu" and torch.cuda.is_available() else "cpu")


def _kind_of(config: Any, folder: Path) -> LanguageModelKind:
    """A type that transformers has as a masked language model is one; it has BERT as a causal one too, which hardly any is."""
    from transformers.models.auto import modeling_auto

    if not config.is_encoder_decoder:
        if config.model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
            return "masked"
        if config.model_type in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            return "causal"
    raise ConfigurationError(
        f"{folder}: expected a masked or causal language model, as BERT or GPT-2; found one of the type {config.model_type}, "
        f"which transformers has as neither of them."
    )


def _class_of(kind: LanguageModelKind) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    return AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM


def _attention(config: Any) -> dict[str, str]:
    # transformers 4 leaves scale_attn_by_inverse_layer_idx out of every form but the plain one.
    by_layer = getattr(config, "scale_attn_by_inverse_layer_idx", False)
    return {"attn_implementation": "eager"} if by_layer else {}


def _require_whole(folder: Path, kind: LanguageModelKind, about: dict[str, Any]) -> None:
    """Refuse weights that transformers would draw at random without stopping."""
    absent = sorted({*about["missing_keys"], *(str(key) for key in about["mismatched_keys"])})
    if absent:
        raise ConfigurationError(
            f"{folder}: expected all weights of a {kind} language model; {len(absent)} are missing or of another shape: "
            f"{', '.join(absent[:3])} … Without them its predictions mean nothing. Models are often published without "
            f"their language-model head; get one that has it."
        )


def _require_offsets(place: Path, tokenizer: Any, kind: LanguageModelKind) -> None:
    if not tokenizer.is_fast:
        raise ConfigurationError(
            f"{place}: expected a fast tokenizer, which knows where each piece stands in the text; found "
            f"{type(tokenizer).__name__}. Save it with a tokenizer.json."
        )
    if kind == "masked" and tokenizer.mask_token_id is None:
        raise ConfigurationError(
            f"{place}: expected a tokenizer with a mask token, found none. Is it this model's?"
        )


def _positions(model: nn.Module, tokenizer: Any) -> int | None:
    """Return the most tokens that neither the model's table of positions nor the tokenizer's settings forbid."""
    limits = [tokenizer.model_max_length] if tokenizer.model_max_length < _UNLIMITED else []
    most = getattr(model.config, "max_position_embeddings", None)
    if isinstance(most, int) and most > 0:
        # RoBERTa counts positions from the one behind its padding token's.
        tables = [
            part
            for name, part in model.named_modules()
            if name.endswith("position_embeddings") and isinstance(part, nn.Embedding)
        ]
        unused = max((table.padding_idx + 1 for table in tables if table.padding_idx is not None), default=0)
        limits.append(most - unused)
    return min(limits, default=None)
