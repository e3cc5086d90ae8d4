"""Folders of transformers, read and written: MegatronBERT, BERT and GPT-2."""
