"""The verbs of the command line, in the order of use."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One thing that megatron-bio does; nothing of it is imported before it is asked for."""

    name: str
    options: str
    """`module:class` of its options."""
    function: str
    """`module:function` that takes them."""
    summary: str
    """One line for the list of verbs."""
    description: str
    """What a newcomer should know before running it."""
    examples: tuple[str, ...]
    positional: str | None = None
    """The option that may be given without its flag."""
    also: str | None = None
    """A longer name that means the same before a value; it is not listed."""

    @property
    def program(self) -> str:
        """How the verb is called."""
        return f"megatron-bio {self.name}"

    @property
    def help_text(self) -> str:
        """The description with the examples."""
        title = "Examples" if len(self.examples) > 1 else "Example"
        return "\n".join([self.description, "", f"{title}:", *(f"  {example}" for example in self.examples)])


STAGES = (
    Verb(
        name="extract pubmed",
        options="megatron_bio.config.extract:ExtractPubmedOptions",
        function="megatron_bio.corpus.pubmed.extract:extract_pubmed",
        summary="PubMed XML to documents (.jsonl.zst)",
        description=(
            "Reads PubMed's XML (baseline and update files, plain or compressed) and writes one document per citation:\n"
            "title and abstract, with super- and subscripts, formulas and symbols as text. Later versions replace earlier\n"
            "ones and deleted citations are left out. What was skipped is counted by reason. docs/corpus/pubmed.md has the rest."
        ),
        examples=(
            "megatron-bio extract pubmed pubmed/*.xml.gz --output corpus/pubmed.jsonl.zst --workers 8",
        ),
        positional="inputs",
    ),
    Verb(
        name="extract pmc",
        options="megatron_bio.config.extract_pmc:ExtractPmcOptions",
        function="megatron_bio.corpus.pmc.extract:extract_pmc",
        summary="PMC's full texts to documents (.jsonl.zst), by licence",
        description=(
            "Reads PMC's open-access packages (.tar.gz, never unpacked) and single JATS files and writes one document per\n"
            "article: abstract and body in reading order, without tables, figures, references and citation marks that stand\n"
            "high. Only articles whose own licence allows commercial use are taken; the others are counted by licence."
        ),
        examples=(
            "megatron-bio extract pmc oa_comm_xml.*.tar.gz --output corpus/pmc.jsonl.zst --workers 8",
            "megatron-bio extract pmc PMC*.nxml --license any --captions true --output corpus/pmc.jsonl.zst",
        ),
        positional="inputs",
    ),
    Verb(
        name="extract pile",
        options="megatron_bio.config.extract_text:ExtractPileOptions",
        function="megatron_bio.corpus.pile.extract:extract_pile",
        summary="The Pile's biomedical subsets to documents",
        description=(
            "Reads files of The Pile (.jsonl.zst) and writes the documents of PubMed Abstracts and PubMed Central, or of other\n"
            "subsets that are asked for. Texts are kept as they are. What belongs to other subsets is counted by name."
        ),
        examples=(
            "megatron-bio extract pile pile/train/*.jsonl.zst --output corpus/pile.jsonl.zst --workers 8",
        ),
        positional="inputs",
    ),
    Verb(
        name="extract text",
        options="megatron_bio.config.extract_text:ExtractTextOptions",
        function="megatron_bio.corpus.text.extract:extract_text",
        summary="JSONL, Parquet or plain text to documents",
        description=(
            "Reads texts that others have extracted: JSONL and plain text, also gzip, xz or zstd, and Parquet. What a file is\n"
            "is told by its content. Texts are kept as they are; lines and rows that cannot be used are named."
        ),
        examples=(
            "megatron-bio extract text notes/*.parquet --text_key note --meta_keys year --output corpus/notes.jsonl.zst",
            "megatron-bio extract text books/*.txt.gz --document_separator blank-line --output corpus/books.jsonl.zst",
        ),
        positional="inputs",
    ),
    Verb(
        name="corpus build",
        options="megatron_bio.config.build:BuildCorpusOptions",
        function="megatron_bio.corpus.building.run:build_corpus",
        summary="documents to a corpus: filtered, without copies, split, in shards",
        description=(
            "Normalises documents, drops what is no text to train on, copies and what is in benchmarks, splits the rest into\n"
            "train, validation and test, and writes shards with a manifest that counts every dropped document by reason.\n"
            "docs/corpus/build.md explains the stages."
        ),
        examples=(
            "megatron-bio corpus build documents/pmc.jsonl.zst documents/pubmed.jsonl.zst --output corpus --workers 8",
        ),
        positional="inputs",
    ),
    Verb(
        name="corpus stats",
        options="megatron_bio.config.statistics:CorpusStatsOptions",
        function="megatron_bio.corpus.statistics.run:corpus_stats",
        summary="count documents by source, year, licence, language and length",
        description=(
            "Counts documents, words and bytes by source, year, licence, language and split, lengths, and what earlier verbs\n"
            "left out. Prints the counts; with --output it also writes them as JSON, as a table to compare corpora, and as a\n"
            "picture."
        ),
        examples=(
            "megatron-bio corpus stats corpus/pubmed.jsonl.zst",
            "megatron-bio corpus stats corpus/built --output corpus/statistics --workers 8",
        ),
        positional="inputs",
    ),
    Verb(
        name="vocabulary train",
        options="megatron_bio.config.tokens:TrainVocabularyOptions",
        function="megatron_bio.tokens.vocabulary:train_vocabulary",
        summary="documents to a tokenizer (WordPiece or byte-level BPE)",
        description=(
            "Trains a vocabulary on documents and writes a tokenizer folder that Hugging Face loads offline. BERT models\n"
            "use WordPiece, GPT models byte-level BPE. docs/vocabulary.md compares the ways to train one."
        ),
        examples=(
            "megatron-bio vocabulary train --inputs corpus/pubmed.jsonl.zst --output tokenizer --size 30000",
            "megatron-bio vocabulary train --inputs corpus/*.jsonl.zst --output tokenizer --method sentencepiece --size 50000",
            "megatron-bio vocabulary train --inputs corpus/*.jsonl.zst --output tokenizer --type bpe --sample 1000000",
        ),
    ),
    Verb(
        name="vocabulary study",
        options="megatron_bio.config.vocabulary_study:StudyVocabularyOptions",
        function="megatron_bio.tokens.study.run:study_vocabularies",
        summary="compare vocabularies: how finely each cuts entities, text and chosen words",
        description=(
            "Counts tokens per word of named entities (Table 4 of the BioMegatron paper) and of free text, unknown tokens, and\n"
            "shows the pieces of chosen words. Prints the tables; with --output it also writes them as JSON, as Markdown and as\n"
            "a picture."
        ),
        examples=(
            "megatron-bio vocabulary study bert=bert/vocab.txt ours=tokenizer --entities BC5CDR-chem/train.tsv.gz",
            "megatron-bio vocabulary study bert/vocab.txt tokenizer --texts corpus/pubmed.jsonl.zst --output study",
        ),
        positional="vocabularies",
    ),
    Verb(
        name="preprocess",
        options="megatron_bio.config.tokens:PreprocessOptions",
        function="megatron_bio.tokens.preprocess:preprocess",
        summary="documents to token data (.bin and .idx), what training reads",
        description=(
            "Turns documents into token ids in Megatron's format: PREFIX.bin, PREFIX.idx and PREFIX.json. For BERT one\n"
            "sequence per sentence, for GPT one per document. Killed at any moment, the same command goes on where it was.\n"
            "docs/preprocess.md has the rest."
        ),
        examples=(
            "megatron-bio preprocess corpus/pubmed.jsonl.zst --tokenizer tokenizer --output tokens/pubmed --workers 8",
            "megatron-bio preprocess corpus/built --tokenizer tokenizer --output tokens/built --workers 8",
            "megatron-bio preprocess notes.jsonl --keys note --split 0.9 0.05 0.05 --tokenizer tokenizer --output tokens/notes",
        ),
        positional="inputs",
    ),
    Verb(
        name="merge",
        options="megatron_bio.config.tokens:MergeOptions",
        function="megatron_bio.tokens.merge:merge",
        summary="several token data to one",
        description=(
            "Joins token data, of this library or of Megatron-LM, document after document. Data of different tokenizers are\n"
            "refused. Memory does not grow with their size."
        ),
        examples=(
            "megatron-bio merge tokens/pubmed tokens/pmc --output tokens/all",
            "megatron-bio merge 'tokens/part*.idx' --output tokens/all",
        ),
        positional="inputs",
    ),
    Verb(
        name="index",
        options="megatron_bio.config.index:IndexOptions",
        function="megatron_bio.data.index:index",
        summary="what pretrain computes of its token data, ahead of the run",
        description=(
            "Cuts documents into samples and samples into rows, keeps the result where pretrain finds it, and reports documents,\n"
            "samples, rows, how full these are, and the blend of corpora. Takes a recipe of pretrain as it stands, or its data\n"
            "options. Not necessary: pretrain does what is missing itself. docs/index-and-blends.md has the rest."
        ),
        examples=(
            "megatron-bio index --config recipe.yaml",
            "megatron-bio index --data.prefixes tokens/pubmed tokens/pmc --data.weights 1 2 --data.tokenizer tokenizer",
        ),
    ),
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
HELPERS = (
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
        function="megatron_bio.inspection:inspect",
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
VERBS = STAGES + HELPERS
