"""The mathematics: attention, block, BERT, GPT and their heads, written on parallel layers."""
