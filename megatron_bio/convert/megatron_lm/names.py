"""The names that Megatron-LM gave its tensors over the years, brought to those of version 2.5 and back.

    v1.0 to v2.4       language_model.transformer.layers.0.attention…
    v2.5               language_model.encoder.layers.0.self_attention…
    core 0.3 and on    …input_norm, …post_attention_norm, …final_norm, lm_head.norm
    Megatron Core      embedding…, encoder.layers.0.self_attention.linear_qkv… (GPT: decoder)

Source: Megatron-LM, language_model.py, transformer.py, bert_model.py of these versions; Megatron Core, models/.
"""

import re
from collections.abc import Mapping
from typing import Any

LAYER = re.compile(r"(language_model\.encoder\.layers\.)(\d{1,5})(\..*)")
SECOND_EMBEDDING = "word_embeddings_for_head.weight"
"""The last of several pipeline stages has a copy of the word embeddings for the logits."""
_IGNORED = re.compile(r"_extra_state$|rotary_pos_emb\.inv_freq$")
_RENAMED = tuple(
    (re.compile(old), new)
    for old, new in (
        (r"^language_model\.transformer\.", "language_model.encoder."),
        (r"^embedding\.", "language_model.embedding."),
        (r"^(?:encoder|decoder)\.", "language_model.encoder."),
        (r"^pooler\.", "language_model.pooler."),
        (r"^output_layer\.bias$", "lm_head.bias"),
        (r"^(?:output_layer|word_embeddings)\.weight$", SECOND_EMBEDDING),
        (r"^lm_head\.(?:norm|layer_norm)\.", "lm_head.layernorm."),
        (r"\.attention\.", ".self_attention."),
        (r"\.input_norm\.", ".input_layernorm."),
        (r"\.(?:post_attention_norm|pre_mlp_layernorm)\.", ".post_attention_layernorm."),
        (r"\.final_norm\.", ".final_layernorm."),
        (r"\.self_attention\.linear_qkv\.layer_norm_", ".input_layernorm."),
        (r"\.mlp\.linear_fc1\.layer_norm_", ".post_attention_layernorm."),
        (r"\.self_attention\.linear_qkv\.", ".self_attention.query_key_value."),
        (r"\.self_attention\.linear_proj\.", ".self_attention.dense."),
        (r"\.mlp\.linear_fc1\.", ".mlp.dense_h_to_4h."),
        (r"\.mlp\.linear_fc2\.", ".mlp.dense_4h_to_h."),
    )
)
_OLD = ((".encoder.", ".transformer."), (".self_attention.", ".attention."))


def canonical_name(name: str) -> str:
    """Return the name of version 2.5 for one of any version; layers keep their number within the stage."""
    for old, new in _RENAMED:
        name = old.sub(new, name)
    return name


def old_name(name: str) -> str:
    """Return the name of version 1.0 to 2.4 for one of version 2.5."""
    for new, old in _OLD:
        name = name.replace(new, old)
    return name


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries of tensors as one, names joined by dots; state that is no parameter is left out."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= flat(value, f"{name}.")
        elif not _IGNORED.search(name):
            found[name] = value
    return found


def nested(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return tensors under canonical or old names in the dictionaries within each other that Megatron-LM's modules load.

    The tables of embeddings have one each; the encoder, the pooler and the heads have all their tensors in one.
    """
    root: dict[str, Any] = {}
    for name, value in tensors.items():
        parts = name.split(".")
        depth = {"language_model": 3 if parts[1] == "embedding" else 2}.get(parts[0], 1)
        place = root
        for part in parts[:depth]:
            place = place.setdefault(part, {})
        place[".".join(parts[depth:])] = value
    return root
