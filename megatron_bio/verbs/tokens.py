"""From a corpus to a vocabulary and token data."""

from megatron_bio.verbs.verb import Verb

VERBS = (
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
)
