// Documents of sentences to rows of several samples. megatron_bio/data/packing.py defines it and says what the rules mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace megatron_bio {

struct PackingRules {
    int64_t sequence_length;
    int64_t most_samples;
    int64_t pool;         // At most 64: sets of places are bits of a word.
    int64_t oldest_every;
    int64_t split_again_cost;
    int64_t split_cost;
    bool paired;
    double short_probability;
    uint64_t seed;
    uint64_t purpose;  // Of the drawn lengths.
};

// [S] lengths of the sentences, [D + 1] first sentence of each document, [N] the documents to pack.
struct Sentences {
    const int32_t* lengths;
    size_t count;
    const int64_t* bounds;
    size_t documents;
    const int64_t* chosen;
    size_t chosen_count;
};

struct PackedRows {
    std::vector<int64_t> first_sequence;
    std::vector<int32_t> first_offset, lengths, sequences;
    std::vector<int64_t> first_sample{0};
    int64_t empty_documents = 0, sentences = 0, empty_sentences = 0, split_sentences = 0, single_sentence_samples = 0, tokens = 0;
    int64_t documents_over_rows = 0, rows_at_most_samples = 0, real_positions = 0;
};

// Throws std::invalid_argument for rules, documents or lengths that cannot be; no memory outside of the arrays is touched.
PackedRows pack_rows(const Sentences& source, const PackingRules& rules);

}  // namespace megatron_bio
