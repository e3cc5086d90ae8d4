"""Model FLOPs utilisation: what part of the devices' peak the real tokens' arithmetic is."""

from dataclasses import dataclass

import torch

from megatron_bio.config.costs import FLOPS_FORMULA, masked_budget, training_flops_per_row
from megatron_bio.config.hardware import peak_tflops
from megatron_bio.config.pretrain import PretrainConfig


@dataclass(frozen=True)
class Utilisation:
    """The two numbers behind it, for one run."""

    flops_per_token: float
    """Operations executed in forward and backward of a row, over the row's tokens, padding included."""
    peak_flops: float | None
    """Dense peak of all devices in operations per second; None when it is not known."""
    explanation: str
    """One line for people, with formula and numbers."""

    def of(self, tokens_per_second: float) -> dict[str, float]:
        """Return the utilisation at so many real tokens per second, from 0 to 1; nothing when the peak is not known."""
        if self.peak_flops is None:
            return {}
        return {"mfu": tokens_per_second * self.flops_per_token / self.peak_flops}


def build_utilisation(
    config: PretrainConfig, device: torch.device, ranks: int, *, variable_length: bool = False
) -> Utilisation:
    """Return the utilisation of a run with a known vocabulary on `ranks` devices like `device`.

    Only executed operations count: BERT's output layer on the slots for predictions, recomputation not at all, and with
    `variable_length` attention nothing of what may have been skipped. Padding is executed but is no real token, so a row's
    operations count in the proportion of its real tokens.
    """
    length, precision = config.data.sequence_length, config.training.precision
    predictions = length
    if config.model.architecture == "bert":
        predictions = masked_budget(config.data.masked_lm_probability, length)
    pairs = length**2
    if variable_length:
        # A whole row of gpt is one sequence. Samples, and documents where they are kept apart, are of any length, and not
        # knowing them must not raise the number.
        whole = config.model.architecture == "gpt" and not config.data.reset_at_document_end
        pairs = length * (length + 1) // 2 if whole else 0
    row = training_flops_per_row(config.model, length, predictions, pairs)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
    peak = config.training.peak_tflops
    source = "training.peak_tflops"
    if peak is None and device.type == "cuda":
        peak, source = peak_tflops(name, precision), f"{name}, dense {precision}"
    if peak is None:
        text = f"MFU is not reported: the {precision} peak of {name} is not known; training.peak_tflops gives it."
        return Utilisation(row / length, None, text)
    text = (
        f"MFU = real tokens/s x {row / length:.4g} FLOP/token / ({ranks} x {peak:g} TFLOP/s, {source}); FLOP/token = {row:.4g} / "
        f"{length}, executed operations {FLOPS_FORMULA}, P = {predictions}, A = {pairs}"
        f"{' (depends on the samples, so not counted)' if not pairs else ''}"
    )
    return Utilisation(row / length, peak * 1e12 * ranks, text)
