"""The loop: optimizer, schedule, step, evaluation, logs, checkpoints and interruption."""
