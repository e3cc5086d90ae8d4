import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from megatron_bio.parallel.cross_entropy import vocab_parallel_cross_entropy
from megatron_bio.parallel.mesh import MeshShape, build_mesh
from tests.distributed.pool import Pool


def case(ranks: int, vocab_size: int, columns: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(vocab_size)
    logits = (torch.randn(5, 7, ranks * columns, generator=g) * 8).to(dtype)
    targets = torch.randint(0, vocab_size, (5, 7), generator=g)
    return logits, targets, torch.rand(5, 7, generator=g)


def compute(
    ranks: int, vocab_size: int, columns: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, bool]:
    mesh = build_mesh(MeshShape(tp=ranks), "cpu")["tp"]
    logits, targets, weights = case(ranks, vocab_size, columns, dtype)
    own = logits.chunk(ranks, -1)[dist.get_rank()].clone().requires_grad_()
    before = own.detach().clone()
    losses, best = vocab_parallel_cross_entropy(own, targets, mesh, vocab_size)
    (losses * weights).sum().backward()
    return losses.detach(), best, own.grad, torch.equal(before, own.detach())


# 33 of 64 columns: with 4 ranks of 16 the third has one real column and the fourth none.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("ranks", "vocab_size", "columns"), [(1, 60, 64), (2, 64, 32), (4, 33, 16)])
def test_equals_torch_over_the_real_vocabulary(
    pool: Pool, ranks: int, vocab_size: int, columns: int, dtype: torch.dtype
) -> None:
    logits, targets, weights = case(ranks, vocab_size, columns, dtype)
    whole = logits[..., :vocab_size].float().clone().requires_grad_()
    expected = F.cross_entropy(whole.flatten(0, 1), targets.flatten(), reduction="none").view(5, 7)
    (expected * weights).sum().backward()
    results = pool.run(compute, ranks, ranks, vocab_size, columns, dtype)
    gradient = torch.cat([grad for _, _, grad, _ in results], -1)
    for losses, best, _, untouched in results:
        torch.testing.assert_close(losses, expected.detach())
        assert torch.equal(best, whole.argmax(-1))
        assert untouched, "the logits were changed in place"
    torch.testing.assert_close(gradient[..., :vocab_size].float(), whole.grad, rtol=1e-2, atol=1e-6)
    assert gradient[..., vocab_size:].abs().max() == 0 if vocab_size < ranks * columns else True
