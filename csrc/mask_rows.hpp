// Masked-LM: which tokens of a row are predicted, and what stands in their place. megatron_bio/data/masked_units.py defines it.
#pragma once

#include <cstdint>
#include <vector>

namespace megatron_bio {

// What `Masking` in Python holds; the arrays belong to the caller.
struct MaskingRules {
    enum Flag : uint8_t { kMaskable = 1, kContinuation = 2 };

    double probability;
    int64_t mask_id;
    const uint8_t* flags;  // [vocabulary]
    int64_t vocabulary;
    const int64_t* replacements;  // [replacement_count]
    int64_t replacement_count;
    const double* length_bounds;  // [bound_count]
    int64_t bound_count;
    bool alike;
    int64_t slots;  // M
};

// Masks rows of one length one after the other; keeps its memory from row to row.
class RowMasker {
  public:
    // Columns have to fit into the low bits of the keys that order the words.
    static constexpr int64_t kMostColumns = 1 << 24;

    RowMasker(const MaskingRules& rules, int64_t columns);

    // Changes tokens [columns] and writes the first slots of positions, labels and weights; the others are 0 already.
    // Every token is in the vocabulary.
    void mask(int64_t* tokens, const int32_t* segments, uint64_t key, int64_t* positions, int64_t* labels, float* weights);

  private:
    struct Word {
        int32_t column;
        int32_t size;
        bool linked;  // Directly behind the word before it.
    };

    int64_t find_words(const int64_t* tokens, const int32_t* segments);
    void choose(int64_t budget, uint64_t key);
    int64_t words_wanted(uint64_t length_key, int64_t column) const;
    void take(int64_t column, int64_t pieces);

    const MaskingRules& rules_;
    std::vector<Word> words_;
    std::vector<uint64_t> order_;
    std::vector<uint8_t> taken_;
    std::vector<int32_t> unit_;  // [columns] the column at which the unit of a predicted token starts, or -1.
};

}  // namespace megatron_bio
