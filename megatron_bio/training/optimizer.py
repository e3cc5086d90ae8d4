"""AdamW with decay on matrices only, and its state by parameter name."""

import torch
from torch import Tensor, nn

from megatron_bio.config.training import OptimizerConfig

_MOMENTS = ("exp_avg", "exp_avg_sq")


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """Build AdamW (Loshchilov and Hutter, arXiv 1711.05101); biases and layer norms, the 1-d parameters, are not decayed."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.epsilon, foreach=True
    )
    for parameter in parameters:
        # Made now and not at the first step, so that a checkpoint can be loaded into them.
        moments = {
            name: torch.zeros_like(parameter, memory_format=torch.preserve_format) for name in _MOMENTS
        }
        optimizer.state[parameter] = {"step": torch.tensor(0.0), **moments}
    return optimizer


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """Return the moments as `NAME.exp_avg` and `NAME.exp_avg_sq`, split like their parameters."""
    return {
        f"{name}.{moment}": value
        for name, parameter in model.named_parameters()
        for moment, value in moments(optimizer, parameter).items()
    }


def moments(optimizer: torch.optim.AdamW, parameter: nn.Parameter) -> dict[str, Tensor]:
    """Return the moments of one parameter by name."""
    return {name: optimizer.state[parameter][name] for name in _MOMENTS}


def set_optimizer_step(optimizer: torch.optim.AdamW, step: int) -> None:
    """Tell the optimizer how many steps its moments have seen."""
    for state in optimizer.state.values():
        state["step"].fill_(step)


def set_learning_rate(optimizer: torch.optim.AdamW, value: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = value
