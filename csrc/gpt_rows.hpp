// GPT rows: chunks of a stream of documents. megatron_bio/data/gpt_samples.py defines them.
#pragma once

#include <cstdint>

#include "token_files.hpp"

namespace megatron_bio {

// The documents of one epoch one after the other; arrays of the caller.
struct DocumentStream {
    int64_t documents;
    const int64_t* starts;  // [documents] first token of each in the files.
    const int64_t* before;  // [documents + 1] tokens of the stream before each, then all.
};

// The fields of GptBatch: R rows, S columns.
struct GptRowArrays {
    int64_t rows, columns;
    int64_t* tokens;
    int32_t* segment_ids;
    int64_t* position_ids;
    int64_t* labels;
    float* label_weights;
};

// Row r is the columns + 1 tokens from token first[r] of the stream on; below 0 it is an empty row of `pad`. Throws
// std::invalid_argument for a row that is not in the stream, or a document that is not in a file; no memory outside of the arrays
// is touched.
template <typename Token>
void write_gpt_rows(const TokenFiles<Token>& files, const DocumentStream& stream, const int64_t* first, int64_t pad, bool is_reset,
                    const GptRowArrays& out);

}  // namespace megatron_bio
