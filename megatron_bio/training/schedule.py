"""The learning rate as a pure function of the step."""

import math

from megatron_bio.config.training import OptimizerConfig


def learning_rate(step: int, train_steps: int, config: OptimizerConfig) -> float:
    """Return the learning rate of step `step`, counted from 1; w is the warmup, d the end of the decay.

    Up to w it rises linearly and reaches `lr` at step w; after that it is

        linear, cosine   min_lr + (lr - min_lr) * left, left falling from 1 at w to 0 at d and staying there
                         (linear: Devlin et al., arXiv 1810.04805; cosine: Loshchilov and Hutter, arXiv 1608.03983, one cycle)
        inverse_sqrt     max(min_lr, lr * sqrt(w / step)), w at least 1 (Vaswani et al., arXiv 1706.03762, section 5.3)
        constant         lr

    d is `decay_steps`, or `train_steps` when not given. Megatron-LM's BERT of 345m parameters decays linearly to 1e-5 over
    990,000 of 1,000,000 steps: `decay_steps` 990000.
    """
    warmup = config.warmup_of(train_steps)
    if step <= warmup:
        return config.lr * step / warmup
    if config.lr_schedule == "constant":
        return config.lr
    if config.lr_schedule == "inverse_sqrt":
        return max(config.min_lr, config.lr * math.sqrt(max(1, warmup) / step))
    end = config.decay_steps or train_steps
    done = min(1.0, (step - warmup) / (end - warmup)) if end > warmup else 1.0
    left = 1.0 - done if config.lr_schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return config.min_lr + (config.lr - config.min_lr) * left
