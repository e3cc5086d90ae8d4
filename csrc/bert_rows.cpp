#include "bert_rows.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace megatron_bio {

namespace {

int64_t width(const SampleTable& samples, int64_t n) {
    return samples.lengths[2 * n] + samples.lengths[2 * n + 1] + (samples.paired[n] ? 3 : 2);
}

void check(const SampleTable& samples, const RowArrays& out) {
    for (int64_t n = 0; n < samples.count; ++n) {
        int64_t a = samples.lengths[2 * n], b = samples.lengths[2 * n + 1], column = samples.column[n];
        if (a < 0 || b < 0 || a > out.columns || b > out.columns || (b > 0 && !samples.paired[n]) || samples.row[n] < 0 ||
            samples.row[n] >= out.rows || samples.number[n] < 1 || samples.number[n] > out.samples || column < 0 ||
            column > out.columns || width(samples, n) > out.columns - column) {
            throw std::invalid_argument("sample " + std::to_string(n) + " of " + std::to_string(a) + " + " + std::to_string(b) +
                                        " tokens, number " + std::to_string(samples.number[n]) + " in row " +
                                        std::to_string(samples.row[n]) + " from column " + std::to_string(column) +
                                        ": expected a place inside of " + std::to_string(out.rows) + " rows of " +
                                        std::to_string(out.columns) + " tokens and at most " + std::to_string(out.samples) + " samples");
        }
    }
}

// The samples row by row: those of row r are order[ends[r - 1]] ... order[ends[r] - 1].
struct ByRow {
    std::vector<int64_t> order, ends;

    ByRow(const SampleTable& samples, int64_t rows) : order(samples.count), ends(rows + 1, 0) {
        for (int64_t n = 0; n < samples.count; ++n) ++ends[samples.row[n] + 1];
        std::partial_sum(ends.begin(), ends.end(), ends.begin());
        for (int64_t n = 0; n < samples.count; ++n) order[ends[samples.row[n]]++] = n;
    }
};

template <typename Token>
class RowWriter {
  public:
    RowWriter(const TokenFiles<Token>& files, const SampleTable& samples, const FramingTokens& special, int64_t vocabulary,
              const RowArrays& out)
        : files_(files), samples_(samples), special_(special), vocabulary_(vocabulary), out_(out) {}

    void clear(int64_t row) {
        std::fill_n(out_.tokens + row * out_.columns, out_.columns, special_.pad);
        std::fill_n(out_.segment_ids + row * out_.columns, out_.columns, 0);
        std::fill_n(out_.position_ids + row * out_.columns, out_.columns, 0);
        std::fill_n(out_.tokentype_ids + row * out_.columns, out_.columns, 0);
        std::fill_n(out_.cls_positions + row * out_.samples, out_.samples, 0);
        std::fill_n(out_.order_labels + row * out_.samples, out_.samples, 0);
        std::fill_n(out_.order_weights + row * out_.samples, out_.samples, 0.0f);
    }

    void write(int64_t n) {
        int64_t first = samples_.row[n] * out_.columns + samples_.column[n], size = width(samples_, n);
        int64_t first_part = samples_.lengths[2 * n] + 2;
        int64_t* tokens = out_.tokens + first;
        *tokens++ = special_.cls;
        tokens = copy(n, 0, tokens);
        if (samples_.paired[n]) copy(n, 1, tokens);
        std::fill_n(out_.segment_ids + first, size, static_cast<int32_t>(samples_.number[n]));
        std::iota(out_.position_ids + first, out_.position_ids + first + size, int64_t{0});
        std::fill(out_.tokentype_ids + first, out_.tokentype_ids + first + first_part, 0);
        std::fill(out_.tokentype_ids + first + first_part, out_.tokentype_ids + first + size, 1);

        int64_t slot = samples_.row[n] * out_.samples + samples_.number[n] - 1;
        out_.cls_positions[slot] = samples_.column[n];
        out_.order_labels[slot] = samples_.labels[n];
        out_.order_weights[slot] = samples_.paired[n] ? 1.0f : 0.0f;
    }

  private:
    int64_t* copy(int64_t n, int part, int64_t* tokens) {
        int64_t start = samples_.starts[2 * n + part], length = samples_.lengths[2 * n + part];
        const Token* source = files_.find(start, length);
        if (!source) {
            throw std::invalid_argument("sample " + std::to_string(n) + ": expected " + std::to_string(length) + " tokens from token " +
                                        std::to_string(start) + " on inside of one file, found " + std::to_string(files_.first.back()) +
                                        " tokens in " + std::to_string(files_.tokens.size()) + " files");
        }
        uint64_t largest = 0;
        for (int64_t i = 0; i < length; ++i) {
            tokens[i] = source[i];
            largest = std::max(largest, static_cast<uint64_t>(tokens[i]));  // A negative one is large.
        }
        if (largest >= static_cast<uint64_t>(vocabulary_)) {
            throw std::out_of_range(std::to_string(static_cast<int64_t>(largest)));
        }
        tokens[length] = special_.sep;
        return tokens + length + 1;
    }

    const TokenFiles<Token>& files_;
    const SampleTable& samples_;
    const FramingTokens& special_;
    int64_t vocabulary_;
    const RowArrays& out_;
};

}  // namespace

template <typename Token>
void write_bert_rows(const TokenFiles<Token>& files, const SampleTable& samples, const FramingTokens& special, const MaskingRules& rules,
                     const uint64_t* row_keys, const RowArrays& out) {
    check(samples, out);
    ByRow by_row(samples, out.rows);
    RowWriter<Token> writer(files, samples, special, rules.vocabulary, out);
    RowMasker masker(rules, out.columns);
    std::fill_n(out.masked_positions, out.rows * rules.slots, 0);
    std::fill_n(out.masked_labels, out.rows * rules.slots, 0);
    std::fill_n(out.masked_weights, out.rows * rules.slots, 0.0f);
    for (int64_t row = 0; row < out.rows; ++row) {
        writer.clear(row);
        for (int64_t i = row ? by_row.ends[row - 1] : 0; i < by_row.ends[row]; ++i) writer.write(by_row.order[i]);
        masker.mask(out.tokens + row * out.columns, out.segment_ids + row * out.columns, row_keys[row],
                    out.masked_positions + row * rules.slots, out.masked_labels + row * rules.slots,
                    out.masked_weights + row * rules.slots);
    }
}

template void write_bert_rows(const TokenFiles<uint16_t>&, const SampleTable&, const FramingTokens&, const MaskingRules&, const uint64_t*,
                              const RowArrays&);
template void write_bert_rows(const TokenFiles<int32_t>&, const SampleTable&, const FramingTokens&, const MaskingRules&, const uint64_t*,
                              const RowArrays&);

}  // namespace megatron_bio
