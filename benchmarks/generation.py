"""Tokens per second of a GPT of 25M random parameters: with the cache, without it, and transformers' generate, in one run.

    python benchmarks/generation.py

The three continue the same random prompts greedily, in turn, on one thread; CPU seconds, the best of the rounds, so that other
work on the machine counts little. They must write the same tokens. Adds a row to results.csv.
"""

import argparse
import sys
import time
from collections.abc import Callable

import torch
from results_row import append_result
from transformers import GPT2Config, GPT2LMHeadModel

from megatron_bio.config.model import ModelConfig
from megatron_bio.convert.hugging_face.tables import hugging_face_table
from megatron_bio.generation.continuation import Continuation, continue_texts
from megatron_bio.generation.sampling import Sampling
from megatron_bio.models.build import build_model, parameter_count
from megatron_bio.models.gpt import Gpt
from megatron_bio.parallel.layers import TensorParallel
from megatron_bio.parallel.mesh import single_process_mesh
from megatron_bio.parallel.parameters import initialize

CLAIM = "greedy tokens per CPU second of one thread: with the cache at least as many as transformers' generate, same tokens"
SHAPE = ModelConfig(
    architecture="gpt",
    num_layers=8,
    hidden_size=384,
    num_attention_heads=6,
    max_position_embeddings=1024,
    vocab_size=28_896,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    init_method_std=0.1,  # so that the likeliest token leads by more than rounding
)
Writer = Callable[[list[list[int]], int], list[list[int]]]


def main() -> None:
    """Measure, compare, record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompt_tokens", type=int, default=64)
    parser.add_argument("--new_tokens", type=int, default=128)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = our_model()
    theirs = transformers_model(model)
    writers: dict[str, Writer] = {
        "with the cache": lambda prompts, new: ours(model, prompts, new, cached=True),
        "transformers": lambda prompts, new: transformers_tokens(theirs, prompts, new),
        "without": lambda prompts, new: ours(model, prompts, new, cached=False),
    }
    results, started = [], time.perf_counter()
    for batch_size in options.batch_sizes:
        generator = torch.Generator().manual_seed(batch_size)
        prompts = torch.randint(
            SHAPE.vocab_size or 0, (batch_size, options.prompt_tokens), generator=generator
        )
        speeds = measure(writers, prompts.tolist(), options.new_tokens, options.rounds)
        cached, peer, plain = speeds.values()
        results.append(
            f"batch {batch_size}: {cached:.0f} tokens/s, {cached / peer:.2f} times transformers, {cached / plain:.1f} times "
            f"without the cache"
        )
        print(results[-1], flush=True)
    sizes = f"{options.prompt_tokens} + {options.new_tokens} tokens"
    append_result(
        "generation",
        CLAIM,
        f"{parameter_count(model) / 1e6:.1f}M, {sizes}: {'; '.join(results)}",
        time.perf_counter() - started,
    )


def measure(writers: dict[str, Writer], prompts: list[list[int]], new: int, rounds: int) -> dict[str, float]:
    """Return the tokens per CPU second of each writer; the slow one without the cache runs once."""
    best = dict.fromkeys(writers, 0.0)
    written: dict[str, list[list[int]]] = {}
    for number in range(rounds):
        for name, write in writers.items():
            if name == "without" and number:
                continue
            started = time.process_time()
            written[name] = write(prompts, new)
            best[name] = max(best[name], len(prompts) * new / (time.process_time() - started))
    if len({str(tokens) for tokens in written.values()}) > 1:
        sys.exit("the three did not write the same tokens")
    return best


def our_model() -> Gpt:
    """Return the model with random weights."""
    tensor_parallel = TensorParallel(single_process_mesh()["tp"], False, torch.float32)
    model = build_model(SHAPE, tensor_parallel).eval()
    initialize(model, 1)
    assert isinstance(model, Gpt)
    return model


def transformers_model(model: Gpt) -> GPT2LMHeadModel:
    """Return transformers' model with the same weights."""
    config = GPT2Config(
        vocab_size=SHAPE.vocab_size,
        n_positions=SHAPE.max_position_embeddings,
        n_embd=SHAPE.hidden_size,
        n_layer=SHAPE.num_layers,
        n_head=SHAPE.num_attention_heads,
        bos_token_id=None,
        eos_token_id=None,
    )
    theirs = GPT2LMHeadModel(config).eval()
    values = {name: value.detach().to_local() for name, value in model.named_parameters()}
    state = {
        name: part
        for item in hugging_face_table(SHAPE)
        for name, part in zip(item.foreign, item.transformation.to_foreign(values[item.ours]), strict=True)
    }
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    theirs.tie_weights()
    return theirs


def ours(model: Gpt, prompts: list[list[int]], new: int, *, cached: bool) -> list[list[int]]:
    """Write with this library."""
    batch = [Continuation(number, 1, prompt, new) for number, prompt in enumerate(prompts)]
    greedy = Sampling(0.0, 0, 1.0, 0)
    continue_texts(model, batch, greedy, end=None, cached=cached, check=lambda logits: None)
    return [text.new for text in batch]


@torch.no_grad()
def transformers_tokens(model: GPT2LMHeadModel, prompts: list[list[int]], new: int) -> list[list[int]]:
    """Write with transformers, with its cache."""
    tokens = torch.tensor(prompts)
    whole = model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        do_sample=False,
        max_new_tokens=new,
        pad_token_id=0,
    )
    return whole[:, tokens.shape[1] :].tolist()


if __name__ == "__main__":
    main()
