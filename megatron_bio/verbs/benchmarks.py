"""From a model to the table of its results."""

from megatron_bio.verbs.verb import Verb

VERBS = (
    Verb(
        name="evaluate",
        options="megatron_bio.config.evaluate:EvaluateOptions",
        function="megatron_bio.downstream.evaluation.run:evaluate",
        summary="fine-tune a model on benchmarks and score it, with several seeds",
        description=(
            "Fine-tunes a model (a Hugging Face folder or name, or a run of ours) on named entities, relations and questions,\n"
            "tries learning rates and epochs on development data, repeats the best with every seed, and writes results.json\n"
            "with scores, settings, hashes of the data and learning curves. Finished runs are never made twice.\n"
            "docs/evaluate.md has the tasks and their protocols."
        ),
        examples=(
            "megatron-bio evaluate --model models/first --tasks all --data_dir benchmarks --output results/first",
            "megatron-bio evaluate --run runs/first --tasks ChemProt --data_dir benchmarks --output results/steps",
            "torchrun --nproc-per-node 8 -m megatron_bio evaluate --model models/first --tasks all --data_dir data --output out",
        ),
    ),
    Verb(
        name="evaluate lm",
        options="megatron_bio.config.evaluate_lm:EvaluateLmOptions",
        function="megatron_bio.downstream.language_modelling.run:evaluate_lm",
        summary="how well a language model predicts held-out text",
        description=(
            "Measures loss, perplexity, accuracy and bits per byte on documents that the model was not trained on, for runs and\n"
            "checkpoints of this library and for Hugging Face models, masked and causal. By default a masked model's words are\n"
            "masked, the same ones for every vocabulary. docs/evaluate-lm.md says what is computed and what may be compared."
        ),
        examples=(
            "megatron-bio evaluate lm --model runs/first --data corpus/test --output results/first",
            "megatron-bio evaluate lm --model models/biobert --data held-out.jsonl --output results/biobert --documents 2000",
        ),
    ),
    Verb(
        name="report",
        options="megatron_bio.config.report:ReportOptions",
        function="megatron_bio.downstream.report.run:report",
        summary="results of evaluate as tables and pictures, published numbers beside them",
        description=(
            "Makes Markdown, HTML and CSV of any number of results.json: scores as mean and deviation over seeds, what was\n"
            "published with its source and where its protocol differs, learning curves, settings, data and versions."
        ),
        examples=("megatron-bio report results/first results/biobert --output report",),
        positional="results",
    ),
    Verb(
        name="score",
        options="megatron_bio.config.score:ScoreOptions",
        function="megatron_bio.downstream.scorers.score:score",
        summary="predictions beside gold data, by the measures of each benchmark",
        description=(
            "Gives the measures of the benchmark's official program (conlleval, ChemProt's kit, SQuAD's scripts, BioASQ's\n"
            "Evaluation-Measures), in per cent, for predictions of any model. docs/scoring.md has the forms of the files."
        ),
        examples=(
            "megatron-bio score --task ner --gold BC5CDR/test.tsv --predictions predicted.tsv --output results.json",
            "megatron-bio score --task bioasq --question_types factoid --gold 7B1_golden.json --predictions submission.json",
        ),
    ),
)
