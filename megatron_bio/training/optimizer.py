"""AdamW in its two published forms, and its state by parameter name."""

import torch
from torch import Tensor, nn

from megatron_bio.config.training import OptimizerConfig
from megatron_bio.parallel.implementations.registry import implementation

_MOMENTS = ("exp_avg", "exp_avg_sq")


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Build the optimizer of `config`; the 1-d parameters, biases and layer norms, are decayed only when it says so.

    A step with gradient g, learning rate r and decay w, k counting the steps made:

        p ← (1 - d) p,  d = r w (adamw)  or  d = (r / r₀) w (decoupled_adamw, r₀ the peak learning rate)
        m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²
        p ← p - r (m / (1 - β₁ᵏ)) / (√(v / (1 - β₂ᵏ)) + ε)

    Sources: Loshchilov and Hutter, arXiv 1711.05101; the second form is MosaicML Composer's DecoupledAdamW, with which BioMedLM was
    trained. As r/r₀ · w = r · (w / r₀), it is the first form with decay w / r₀: BioMedLM's 1.6e-5 at 1.6e-4 is AdamW's 0.1.
    """
    decay = config.weight_decay / (config.lr if config.name == "decoupled_adamw" else 1.0)
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": decay},
        {
            "params": [p for p in parameters if p.dim() <= 1],
            "weight_decay": decay if config.decay_bias_and_norm else 0.0,
        },
    ]
    adamw = implementation("optimizer.implementation", config.implementation, parameters[0].device.type)
    optimizer = adamw(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.epsilon)
    for parameter in parameters:
        # Made now and not at the first step, so that a checkpoint can be loaded into them.
        moments = {
            name: torch.zeros_like(parameter, memory_format=torch.preserve_format) for name in _MOMENTS
        }
        # torch's fused kernel reads the step on the device; the others would wait for the device to read it.
        step = torch.tensor(0.0, device=parameter.device if optimizer.defaults.get("fused") else "cpu")
        optimizer.state[parameter] = {"step": step, **moments}
    return optimizer


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the moments as `NAME.exp_avg` and `NAME.exp_avg_sq`, split like their parameters."""
    return {
        f"{name}.{moment}": value
        for name, parameter in model.named_parameters()
        for moment, value in moments(optimizer, parameter).items()
    }


def moments(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, Tensor]:
    """Return the moments of one parameter by name."""
    return {name: optimizer.state[parameter][name] for name in _MOMENTS}


def set_optimizer_step(optimizer: torch.optim.Optimizer, step: int) -> None:
    """Tell the optimizer how many steps its moments have seen."""
    for state in optimizer.state.values():
        state["step"].fill_(step)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = value
