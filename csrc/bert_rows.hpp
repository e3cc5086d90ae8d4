// BERT samples to rows of tokens. megatron_bio/data/bert_rows.py defines it.
#pragma once

#include <cstdint>

#include "mask_rows.hpp"
#include "token_files.hpp"

namespace megatron_bio {

// [N] arrays of the caller: what each sample is made of and where it stands.
struct SampleTable {
    int64_t count;
    const int64_t* starts;   // [N, 2] token of the source at which parts A and B start.
    const int64_t* lengths;  // [N, 2] their tokens.
    const uint8_t* paired;   // [N] whether there is a part B.
    const int64_t* labels;   // [N] the order label.
    const int64_t* row;
    const int64_t* column;
    const int64_t* number;  // From 1.
};

// The fields of BertBatch: R rows, S columns, K samples of a row, M slots.
struct RowArrays {
    int64_t rows, columns, samples;
    int64_t* tokens;
    int32_t* segment_ids;
    int64_t* position_ids;
    int64_t* tokentype_ids;
    int64_t* cls_positions;
    int64_t* order_labels;
    float* order_weights;
    int64_t* masked_positions;
    int64_t* masked_labels;
    float* masked_weights;
};

struct FramingTokens {
    int64_t cls, sep, pad;
};

// Writes all of `out`. Throws std::invalid_argument for a table that does not fit into files and rows, std::out_of_range for a token
// that is not in the vocabulary; all is checked before memory is touched.
template <typename Token>
void write_bert_rows(const TokenFiles<Token>& files, const SampleTable& samples, const FramingTokens& special, const MaskingRules& rules,
                     const uint64_t* row_keys, const RowArrays& out);

}  // namespace megatron_bio
