"""Token data to batches: samples, rows, masking and their order, all pure functions of the seed. Does not import torch."""
