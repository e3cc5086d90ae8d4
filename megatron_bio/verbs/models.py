"""From token data to a model, and what it says."""

from megatron_bio.verbs.verb import Verb

VERBS = (
    Verb(
        name="pretrain",
        options="megatron_bio.config.pretrain:PretrainConfig",
        function="megatron_bio.training.pretrain:pretrain",
        summary="token data to checkpoints, on one process or many",
        description=(
            "Trains a BERT or GPT. The same command continues from the newest checkpoint in training.output. Alone it runs on\n"
            "one process; torchrun starts several, which share the work as parallel.tensor_parallel says. Most people keep\n"
            "the options in a YAML file (a recipe) and give on the command line what differs."
        ),
        examples=(
            "megatron-bio pretrain --config recipe.yaml --training.output runs/first",
            "torchrun --nproc-per-node 2 -m megatron_bio pretrain --config recipe.yaml --parallel.tensor_parallel 2",
        ),
    ),
    Verb(
        name="convert",
        options="megatron_bio.config.convert:ConvertOptions",
        function="megatron_bio.convert.conversion:convert",
        summary="a checkpoint to Hugging Face, Megatron-LM or Megatron Core, and back",
        description=(
            "Writes a checkpoint in another format, with its tokenizer, and checks layer by layer that it computes the same.\n"
            "Weights are read and written one tensor at a time. docs/convert.md has the formats and what is checked."
        ),
        examples=(
            "megatron-bio convert --checkpoint runs/first --output models/first",
            "megatron-bio convert --checkpoint downloads/bert-base --to megatron_bio --output imported/bert-base",
            "megatron-bio convert --checkpoint runs/first --to megatron_core --output exchange/first",
        ),
    ),
    Verb(
        name="generate",
        options="megatron_bio.config.generate:GenerateOptions",
        function="megatron_bio.generation.generate:generate",
        summary="a GPT's checkpoint goes on writing what you begin",
        description=(
            "Writes texts after prompts, from a run or checkpoint as it is, on one process or split over those that torchrun\n"
            "starts. The same seed gives the same texts at any batch size and any number of ranks. docs/generation.md has the rest."
        ),
        examples=(
            'megatron-bio generate "Aspirin inhibits" --checkpoint runs/gpt --max_new_tokens 40 --top_p 0.9',
            "megatron-bio generate --checkpoint runs/gpt --prompts_file prompts.jsonl --greedy true --output texts.jsonl",
            "torchrun --nproc-per-node 2 -m megatron_bio generate --checkpoint runs/gpt --prompts_file prompts.txt",
        ),
        positional="prompts",
    ),
    Verb(
        name="fill",
        options="megatron_bio.config.generate:FillOptions",
        function="megatron_bio.generation.fill:fill",
        summary="a BERT's checkpoint fills in each [MASK] of your texts",
        description=(
            "Gives the likeliest tokens for each [MASK], with their probabilities, from a run or checkpoint as it is, on one\n"
            "process or split over those that torchrun starts. docs/generation.md has the rest."
        ),
        examples=(
            'megatron-bio fill "Aspirin inhibits platelet [MASK] ." --checkpoint runs/first --top_k 10',
            "megatron-bio fill --checkpoint runs/first --texts_file texts.txt --output filled.jsonl",
        ),
        positional="texts",
    ),
)
