"""NeMo's archives (.nemo) of BERT and GPT models with Megatron-LM's layers, read only."""
