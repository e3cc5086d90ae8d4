"""`megatron-bio generate`: a GPT's checkpoint goes on writing what a user began."""

from collections.abc import Iterator, Sequence
from typing import Any

from megatron_bio.config.generate import GenerateOptions
from megatron_bio.generation.continuation import Continuation, continue_texts
from megatron_bio.generation.errors import GenerationError
from megatron_bio.generation.inputs import Text, read_texts
from megatron_bio.generation.results import Result, open_results
from megatron_bio.generation.sampling import Sampling
from megatron_bio.generation.session import (
    load_model,
    open_session,
    require_finite,
    warn_of_untrained_positions,
)
from megatron_bio.models.gpt import Gpt
from megatron_bio.parallel.agreement import result_of_first_rank
from megatron_bio.tokens.tokenizer import Tokenizer


def generate(options: GenerateOptions) -> None:
    """Write a continuation of each prompt, in the order of the prompts, as soon as its batch is done."""
    with open_session(options.checkpoint, options.tokenizer, options.device, "gpt") as session:
        prompts = result_of_first_rank(
            lambda: read_texts("prompts", options.prompts, options.prompts_file, ("prompt", "text"))
        )
        positions = session.trained.model.max_position_embeddings
        ids = _encoded(prompts, session.tokenizer, options.begin_document, positions)
        longest = min(positions, max(map(len, ids)) + options.max_new_tokens)
        warn_of_untrained_positions(session.trained, longest)
        work = [
            Continuation(number, sample, prompt, min(options.max_new_tokens, positions - len(prompt)))
            for number, prompt in enumerate(ids, start=1)
            for sample in range(1, options.samples_per_prompt + 1)
        ]
        titled = len(work) > 1
        with open_results(options.output, len(work), lambda result: _as_text(result, titled)) as write:
            model = load_model(session, options.precision)
            assert isinstance(model, Gpt)
            for text in _continued(model, work, options, session.tokenizer.eod):
                write(_result(text, prompts[text.prompt_number - 1], session.tokenizer, options))


def _encoded(
    prompts: Sequence[Text], tokenizer: Tokenizer, begin_document: bool, positions: int
) -> list[list[int]]:
    """Return the ids of each prompt; raises `GenerationError` for one that is empty or leaves no position for a new token."""
    beginning = [tokenizer.eod] if begin_document else []
    encoded = [
        beginning + ids.tolist() for ids in tokenizer.encode_batch([prompt.text for prompt in prompts])
    ]
    for prompt, ids in zip(prompts, encoded, strict=True):
        if not ids:
            raise GenerationError(
                f"{prompt.place}: expected a prompt of at least one token, found {prompt.text!r}; a model cannot begin with "
                f"nothing. --begin_document true lets it begin a document."
            )
        if len(ids) >= positions:
            raise GenerationError(
                f"{prompt.place}: the prompt has {len(ids)} tokens, but the model has {positions} positions for prompt and new "
                f"tokens together; shorten it to at most {positions - 1} tokens."
            )
    return encoded


def _continued(
    model: Gpt, work: Sequence[Continuation], options: GenerateOptions, end: int
) -> Iterator[Continuation]:
    temperature = 0.0 if options.draws_nothing else options.temperature
    sampling = Sampling(temperature, options.top_k, options.top_p, options.seed)
    for first in range(0, len(work), options.batch_size):
        batch = work[first : first + options.batch_size]
        continue_texts(
            model,
            batch,
            sampling,
            end=end if options.stop_at_end_of_text else None,
            cached=options.key_value_cache,
            check=lambda logits: require_finite(logits, options.precision),
        )
        yield from batch


def _result(
    text: Continuation, prompt: Text, tokenizer: Tokenizer, options: GenerateOptions
) -> dict[str, Any]:
    ended = options.stop_at_end_of_text and text.new[-1] == tokenizer.eod
    full = "max_new_tokens" if text.limit == options.max_new_tokens else "max_position_embeddings"
    return {
        "prompt_number": text.prompt_number,
        "sample": text.sample,
        **({} if prompt.id is None else {"id": prompt.id}),
        "prompt": prompt.text,
        "continuation": tokenizer.decode(text.new[:-1] if ended else text.new),
        "tokens": text.new,
        "stopped_by": "end_of_text" if ended else full,
    }


def _as_text(result: Result, titled: bool) -> str:
    """The whole text, and if there are several its number above and an empty line below."""
    whole = f"{result['prompt']}{result['continuation']}"
    title = f"--- prompt {result['prompt_number']}, sample {result['sample']} ({result['stopped_by']}) ---"
    return f"{title}\n{whole}\n" if titled else whole
