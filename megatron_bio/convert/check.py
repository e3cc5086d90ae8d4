"""Does transformers make the tokens and the logits of the checkpoint from the exported folder?"""

from pathlib import Path
from types import ModuleType

import torch

from megatron_bio.checkpoint.run import Run
from megatron_bio.convert.description import is_exact
from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.logits import (
    TOLERANCE,
    Difference,
    compare,
    foreign_logits,
    make_probe,
    our_logits,
    quiet,
)
from megatron_bio.convert.run import load_model
from megatron_bio.models.bert import Bert
from megatron_bio.models.gpt import Gpt
from megatron_bio.tokens.tokenizer import Tokenizer

_TEXTS = (
    "Aspirin (0.5 mg/kg) inhibits COX-2 in vitro.",
    "Naïve β-cells of Müller's rats: 10⁶ U/mL, p<0.05",
    "  IL-2Rα,\tTNF-α and CD4+ T cells\n",
)
"""Capitals, accents, Greek, punctuation and white space: where tokenizers differ."""


def check_export(run: Run, model: Bert | Gpt, tokenizer: Tokenizer, folder: Path, stored: torch.dtype) -> str:
    """Load the folder with transformers, compare it with the checkpoint and return the verdict as a sentence.

    `stored` is the dtype of the weights in the folder; those of `model` are rounded to it, so that the comparison is as
    strict for rounded weights. Without transformers the sentence says that nothing was checked. Raises `ConvertError` for
    other tokens, and for other logits of a model that transformers can compute exactly.
    """
    try:
        import transformers
    except ImportError as error:
        return (
            f"not made, for transformers cannot be imported ({error}). Install it with "
            f"pip install 'megatron-bio[hf]' and convert again to be sure that the export computes the same."
        )
    _require_same_tokens(transformers, folder, tokenizer)
    probe = make_probe(run.model)
    ours = our_logits(model, probe)
    note = ""
    if stored is not torch.float32:
        _round_weights(model, stored)
        unrounded, ours = ours, our_logits(model, probe)
        note = f" Rounding the weights to {stored} alone: {compare(unrounded, ours)}."
    difference = compare(ours, foreign_logits(transformers, folder, run.model, probe, torch.float32))
    if is_exact(run.model):
        return _require_equal(run, transformers, folder, stored, difference) + note
    return f"approximate, as asked; transformers against the checkpoint in float32: {difference}.{note}"


def _require_equal(
    run: Run, transformers: ModuleType, folder: Path, stored: torch.dtype, difference: Difference
) -> str:
    same = "transformers gives the tokens and logits of the checkpoint"
    if difference.is_allowed:
        return f"{same} in float32: {difference}, allowed {TOLERANCE:g}."
    # A deep model can amplify the rounding of float32 itself; in float64 only wrong weights or mathematics are left.
    model, probe = load_model(run, torch.float64), make_probe(run.model)
    _round_weights(model, stored)
    in_double = compare(
        our_logits(model, probe), foreign_logits(transformers, folder, run.model, probe, torch.float64)
    )
    if in_double.is_allowed:
        return f"{same} in float64: {in_double}, allowed {TOLERANCE:g}. In float32 rounding makes more: {difference}."
    raise ConvertError(
        f"The exported model is not the checkpoint's: {difference} in float32, {in_double} in float64, allowed {TOLERANCE:g}. "
        f"Nothing was written. Please report this with the versions of torch ({torch.__version__}) and transformers "
        f"({transformers.__version__}); --check false writes the folder all the same."
    )


def _require_same_tokens(transformers: ModuleType, folder: Path, tokenizer: Tokenizer) -> None:
    with quiet(transformers):
        exported = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for text, ids in zip(_TEXTS, tokenizer.encode_batch(_TEXTS), strict=True):
        found = exported(text, add_special_tokens=False)["input_ids"]
        if found != ids.tolist():
            raise ConvertError(
                f"{tokenizer.name}: transformers does not tokenize as the run did: {text!r} became "
                f"{exported.convert_ids_to_tokens(found)}, expected {[tokenizer.id_to_token(i) for i in ids.tolist()]}. "
                f"Nothing was written. Compare tokenizer_config.json with tokenizer.json: do_lower_case, strip_accents."
            )


@torch.no_grad()
def _round_weights(model: Bert | Gpt, dtype: torch.dtype) -> None:
    for parameter in model.parameters():
        weights = parameter.to_local()
        weights.copy_(weights.to(dtype))
