"""Fine-tuning with transformers' Trainer: heads, losses, rows to tensors, the training of one run."""
