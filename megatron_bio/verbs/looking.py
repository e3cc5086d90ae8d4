"""What looks around: at a cluster, at data, at files, at the machine."""

from megatron_bio.verbs.verb import Verb

VERBS = (
    Verb(
        name="plan",
        options="megatron_bio.config.plan:PlanOptions",
        function="megatron_bio.planning.plan:plan",
        summary="which layouts of a model fit on a cluster, how fast, at what cost",
        description=(
            "For a model, a global batch and a cluster it lists the layouts that fit, with memory per GPU by part, predicted step\n"
            "time, tokens/s, MFU, days and GPU-hours, says which is best and why, and prints the lines for the recipe. It is\n"
            "arithmetic: no GPU is needed. docs/planning.md has the formulas and how well they agree with published runs."
        ),
        examples=(
            "megatron-bio plan --model.preset biomedlm-2.7b --global_batch_size 1024 --cluster.gpus 128 --token_budget 300e9",
            "megatron-bio plan --model.preset bert-110m --model.vocab_size 30522 --global_batch_size 256 --cluster.gpu H200",
        ),
    ),
    Verb(
        name="data check",
        options="megatron_bio.config.data_check:DataCheckOptions",
        function="megatron_bio.downstream.data_check.run:data_check",
        summary="which benchmarks are in a folder, whole or not, and what is in them",
        description=(
            "Recognises the files of benchmarks (named entities, relations, questions) by content and name, reads all of them,\n"
            "compares every offset with the text, and prints counts, label bias, checksums, and what is missing. Ends with 1 if\n"
            "a file is damaged. Downloads and changes nothing. docs/downstream-data.md says where each set comes from."
        ),
        examples=(
            "megatron-bio data check benchmarks/",
            "megatron-bio data check benchmarks/BC5CDR-chem --json",
        ),
        positional="folder",
    ),
    Verb(
        name="inspect",
        options="megatron_bio.config.inspect:InspectOptions",
        function="megatron_bio.inspection.files:inspect",
        summary="say what a file or folder is and what is in it",
        description=(
            "Recognises by content: documents (.jsonl.zst), a corpus, a tokenizer folder, token data (prefix, .bin or .idx), a\n"
            "run or checkpoint folder, a checkpoint of Hugging Face, Megatron-LM, Megatron Core or NeMo, and what an interrupted\n"
            "run left (OUTPUT.unfinished). `megatron-bio inspect checkpoint PATH` means the same.\n"
            "With --samples it shows rows as training gets them, decoded, with what is masked. Changes nothing.\n"
            "docs/inspect.md explains the rows."
        ),
        examples=(
            "megatron-bio inspect runs/first --verify",
            "megatron-bio inspect corpus/built --verify",
            "megatron-bio inspect tokens/pubmed --tokenizer tokenizer/ --json",
            "megatron-bio inspect tokens/pubmed --samples 3 --data sequence_length=128",
            "megatron-bio inspect runs/first --samples 2 --first 64000",
        ),
        positional="path",
        also="inspect checkpoint",
    ),
    Verb(
        name="doctor",
        options="megatron_bio.config.doctor:DoctorOptions",
        function="megatron_bio.doctor:doctor",
        summary="say what this machine has and what can be done on it",
        description=(
            "Lists Python, torch, devices, compilers, kernels, optional libraries, memory and disk, and what each means for\n"
            "you. Never fails because something is missing; send its output along with a bug report."
        ),
        examples=("megatron-bio doctor",),
    ),
)
