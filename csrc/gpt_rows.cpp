#include "gpt_rows.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace megatron_bio {

namespace {

template <typename Token>
class RowWriter {
  public:
    RowWriter(const TokenFiles<Token>& files, const DocumentStream& stream, int64_t pad, bool is_reset, const GptRowArrays& out)
        : files_(files), stream_(stream), pad_(pad), is_reset_(is_reset), out_(out), columns_(out.columns), text_(out.columns + 1) {}

    void write_empty(int64_t row) {
        const int64_t from = row * columns_;
        std::fill_n(out_.tokens + from, columns_, pad_);
        std::fill_n(out_.segment_ids + from, columns_, 0);
        std::fill_n(out_.position_ids + from, columns_, int64_t{0});
        std::fill_n(out_.labels + from, columns_, pad_);
        std::fill_n(out_.label_weights + from, columns_, 0.0f);
    }

    void write(int64_t row, int64_t first) {
        const int64_t from = row * columns_;
        begins_.clear();
        read(first);
        std::copy_n(text_.data(), columns_, out_.tokens + from);
        std::copy_n(text_.data() + 1, columns_, out_.labels + from);
        std::fill_n(out_.label_weights + from, columns_, 1.0f);
        int64_t begin = 0;
        int32_t segment = 1;
        for (int64_t next : begins_) {
            if (next == 0) continue;
            out_.label_weights[from + next - 1] = 0.0f;
            number(from, begin, next, segment++);
            begin = next;
        }
        if (begin < columns_) number(from, begin, columns_, segment);
    }

  private:
    // Columns begin ... end - 1 are one document.
    void number(int64_t from, int64_t begin, int64_t end, int32_t segment) {
        end = std::min(end, columns_);
        std::fill(out_.segment_ids + from + begin, out_.segment_ids + from + end, segment);
        std::iota(out_.position_ids + from + begin, out_.position_ids + from + end, int64_t{0});
    }

    // Fills text_ from token `first` of the stream on, and begins_ with the places of the documents' first tokens.
    void read(int64_t first) {
        const int64_t width = columns_ + 1, all = stream_.before[stream_.documents];
        if (all < width || first > all - width) fail("row", first, width, all);
        int64_t place = std::upper_bound(stream_.before, stream_.before + stream_.documents, first) - stream_.before - 1;
        for (int64_t filled = 0; filled < width; ++place) {
            if (place < 0 || place >= stream_.documents) fail("row", first, width, all);
            const int64_t begin = stream_.before[place], end = stream_.before[place + 1], at = first + filled;
            if (begin < 0 || at < begin || end < at) fail("row", first, width, all);
            const int64_t skipped = at - begin, length = std::min(end - at, width - filled);
            if (length == 0) continue;
            const int64_t start = stream_.starts[place];
            const Token* source = start < 0 || start > files_.first.back() - skipped ? nullptr : files_.find(start + skipped, length);
            if (!source) fail("document", start, skipped + length, files_.first.back());
            std::copy_n(source, length, text_.data() + filled);
            if (is_reset_ && skipped == 0) begins_.push_back(filled);
            filled += length;
        }
    }

    [[noreturn]] static void fail(const char* what, int64_t start, int64_t length, int64_t all) {
        throw std::invalid_argument(std::string(what) + " of " + std::to_string(length) + " tokens from token " + std::to_string(start) +
                                    " on: expected documents that follow one another, each inside of one file, in all " +
                                    std::to_string(all) + " tokens");
    }

    const TokenFiles<Token>& files_;
    const DocumentStream& stream_;
    const int64_t pad_;
    const bool is_reset_;
    const GptRowArrays& out_;
    const int64_t columns_;
    std::vector<int64_t> text_, begins_;
};

}  // namespace

template <typename Token>
void write_gpt_rows(const TokenFiles<Token>& files, const DocumentStream& stream, const int64_t* first, int64_t pad, bool is_reset,
                    const GptRowArrays& out) {
    RowWriter<Token> writer(files, stream, pad, is_reset, out);
    for (int64_t row = 0; row < out.rows; ++row) {
        if (first[row] < 0)
            writer.write_empty(row);
        else
            writer.write(row, first[row]);
    }
}

template void write_gpt_rows(const TokenFiles<uint16_t>&, const DocumentStream&, const int64_t*, int64_t, bool, const GptRowArrays&);
template void write_gpt_rows(const TokenFiles<int32_t>&, const DocumentStream&, const int64_t*, int64_t, bool, const GptRowArrays&);

}  // namespace megatron_bio
