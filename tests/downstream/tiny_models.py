"""Folders of Hugging Face models with random weights and with tokenizers trained on a few sentences."""

import re
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "Aspirin inhibits cyclooxygenase in human platelets and lowers fever.",
    "Tumor necrosis factor alpha mediates chronic inflammation in mice.",
    "Does metformin lower HbA1c? Yes, in type 2 diabetes mellitus.",
    "No effect of ibuprofen on renal failure was found, but headache improved.",
] * 20
_LONGEST_WHOLE_WORD = 10
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def save_tiny_bert(folder: Path) -> Path:
    """A BERT of two layers with a lower-casing WordPiece of the characters and the shorter words of the sentences."""
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = set(re.findall(r"\w+|[^\w\s]", " ".join(TEXTS).lower()))
    characters = sorted(set("".join(words)))
    whole = sorted(word for word in words if 1 < len(word) < _LONGEST_WHOLE_WORD)
    pieces = [*_SPECIAL, *characters, *(f"##{character}" for character in characters), *whole]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    core = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.add_special_tokens(_SPECIAL)
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, core.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), _SPECIAL, strict=True))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in names.items()},
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def save_tiny_gpt(folder: Path) -> Path:
    """A GPT-2 of two layers with a byte-level BPE of 400, and no padding token."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"])
    core.train_from_iterator(TEXTS, trainer)
    core.model.save(str(folder))
    GPT2TokenizerFast.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(1)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=core.get_vocab_size(), n_embd=32, n_layer=2, n_head=2, n_positions=128)
    ).save_pretrained(folder)
    return folder
