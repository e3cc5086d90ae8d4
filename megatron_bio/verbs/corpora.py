"""From XML and text to a corpus."""

from megatron_bio.verbs.verb import Verb

VERBS = (
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
)
