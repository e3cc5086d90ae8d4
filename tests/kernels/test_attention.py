import torch

from megatron_bio.kernels.attention import (
    AttentionDropout,
    AttentionPattern,
    attention,
    attention_mask,
    attention_pattern,
)
from megatron_bio.kernels.dropout import DropoutPlace, sample_keys


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, 8, 4, generator=g) for _ in range(3))
    segments = torch.tensor([[1, 1, 1, 2, 2, 2, 0, 0], [1] * 8])
    return query, key, value, segments


def test_a_sample_sees_only_itself() -> None:
    query, key, value, segments = inputs()
    packed = attention(query, key, value, attention_pattern(segments, False, 0), None)
    alone = attention(
        *(t[:1, :, 3:6] for t in (query, key, value)),
        AttentionPattern(torch.ones(1, 1, 3, 3, dtype=torch.bool)),
        None,
    )
    torch.testing.assert_close(packed[:1, :, 3:6], alone)


def test_causal_mask_hides_what_follows() -> None:
    _, _, _, segments = inputs()
    mask = attention_mask(segments, True)[1, 0]
    assert torch.equal(mask, torch.ones(8, 8, dtype=torch.bool).tril())
    assert not attention_mask(segments, True)[0, 0, 3, 2]


def test_padding_gives_no_nan() -> None:
    query, key, value, segments = inputs()
    assert torch.isfinite(attention(query, key, value, attention_pattern(segments * 0, True, 0), None)).all()


def test_explicit_path_equals_sdpa_when_nothing_is_dropped() -> None:
    query, key, value, segments = inputs()
    pattern = attention_pattern(segments, True, 0)
    tiny = AttentionDropout(DropoutPlace(1e-12, sample_keys(0, torch.arange(2)), 1, 1), 0)
    explicit = attention(query, key, value, pattern, tiny)
    torch.testing.assert_close(explicit, attention(query, key, value, pattern, None))
