#include "pack_rows.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "random_words.hpp"

namespace megatron_bio {

namespace {

constexpr int64_t kMostPool = 64;
constexpr int64_t kLongestRow = int64_t{1} << 24;

// The number of the lowest bit; there is one.
int lowest_bit(uint64_t places) {
#if defined(__GNUC__)
    return __builtin_ctzll(places);
#else
    int place = 0;
    for (; !(places & 1); places >>= 1) ++place;
    return place;
#endif
}

// The number of the highest bit; there is one.
int highest_bit(uint64_t places) {
#if defined(__GNUC__)
    return 63 - __builtin_clzll(places);
#else
    int place = 0;
    while (places >>= 1) ++place;
    return place;
#endif
}

// The start of a document's next sample, or an end of one.
struct Position {
    int64_t sentence;
    int64_t offset;
};

// A sample that a document could give next.
struct Prefix {
    int32_t width;
    int32_t more_sentences;  // Behind the one that it starts in, empty ones between them too.
};

struct Waiting {
    int64_t number = 0;  // Documents that came before.
    int64_t end = 0;     // The sentence behind the document.
    int64_t row = -1;    // Of its first sample.
    bool is_over_rows = false;
    Position start{0, 0};
    std::vector<Prefix> prefixes;  // The first `count` are in use, from the shortest to the longest.
    int64_t count = 0;
};

struct Choice {
    int place = -1;
    int64_t width = 0;
};

class Packer {
  public:
    Packer(const Sentences& source, const PackingRules& rules)
        : source_(source), rules_(rules), draws_(hash_words(rules.seed, rules.purpose)),
          is_single_(rules.pool == 1 && rules.most_samples == 1), limit_(rules.sequence_length - (rules.paired ? 3 : 2)), waiting_(rules.pool),
          having_(rules.sequence_length + 1, 0), finishing_(rules.sequence_length + 1, 0), widths_(rules.sequence_length / 64 + 1, 0) {}

    PackedRows run() {
        // What is reserved and not used costs no memory; most documents give one sample or two.
        const size_t samples = source_.chosen_count + source_.chosen_count / 2;
        rows_.first_sequence.reserve(samples);
        rows_.first_offset.reserve(samples);
        rows_.lengths.reserve(samples);
        rows_.sequences.reserve(samples);
        rows_.first_sample.reserve(source_.chosen_count + 1);
        for (int place = 0; place < rules_.pool; ++place) admit(place);
        for (int64_t row = 0; present_; ++row) fill(row);
        return std::move(rows_);
    }

  private:
    void fill(int64_t row) {
        int64_t room = rules_.sequence_length, samples = 0;
        bool is_oldest = row % rules_.oldest_every == 0;
        Choice choice = best(room, is_oldest ? uint64_t{1} << oldest(present_) : present_);
        while (choice.place >= 0 && samples < rules_.most_samples) {
            room -= choice.width;
            ++samples;
            take(choice, row);
            choice = best(room, present_);
        }
        rows_.rows_at_most_samples += choice.place >= 0;
        rows_.real_positions += rules_.sequence_length - room;
        rows_.first_sample.push_back(static_cast<int64_t>(rows_.lengths.size()));
    }

    Choice best(int64_t room, uint64_t allowed) const {
        Choice found;
        if (is_single_) return allowed ? Choice{0, waiting_[0].prefixes[waiting_[0].count - 1].width} : found;
        // What is left of a row may also stay empty.
        int64_t least = room < rules_.sequence_length ? room : std::numeric_limits<int64_t>::max();
        for (int64_t width = widest(room); width > 0 && room - width < least; width = widest(width - 1)) {
            uint64_t places = having_[width] & allowed;
            if (!places) continue;
            int64_t cost = room - width;
            if (uint64_t finished = finishing_[width] & places) {
                places = finished;
            } else if (uint64_t again = split_ & places) {
                places = again;
                cost += rules_.split_again_cost;
            } else {
                cost += rules_.split_cost;
            }
            if (cost < least) {
                least = cost;
                found = {oldest(places), width};
            }
        }
        return found;
    }

    // The greatest width of a prefix up to `most`, 0 if there is none.
    int64_t widest(int64_t most) const {
        int64_t word = most / 64;
        uint64_t bits = widths_[word] & (~uint64_t{0} >> (63 - most % 64));
        while (!bits && word > 0) bits = widths_[--word];
        return bits ? word * 64 + highest_bit(bits) : 0;
    }

    int oldest(uint64_t places) const {
        int found = lowest_bit(places);
        for (uint64_t rest = places & (places - 1); rest; rest &= rest - 1) {
            int place = lowest_bit(rest);
            if (waiting_[place].number < waiting_[found].number) found = place;
        }
        return found;
    }

    void take(Choice choice, int64_t row) {
        Waiting& document = waiting_[choice.place];
        const auto begin = document.prefixes.begin();
        auto prefix = std::lower_bound(begin, begin + document.count, choice.width,
                                       [](const Prefix& one, int64_t width) { return one.width < width; });
        const int32_t tokens = prefix->width - (prefix != begin && rules_.paired ? 3 : 2), sequences = prefix->more_sentences + 1;
        rows_.first_sequence.push_back(document.start.sentence);
        rows_.first_offset.push_back(static_cast<int32_t>(document.start.offset));
        rows_.lengths.push_back(tokens);
        rows_.sequences.push_back(sequences);
        rows_.single_sentence_samples += sequences == 1;
        rows_.tokens += tokens;
        if (document.row < 0) document.row = row;
        if (document.row != row && !document.is_over_rows) {
            document.is_over_rows = true;
            ++rows_.documents_over_rows;
        }
        Position rest = behind(document, tokens, sequences);
        withdraw(choice.place);
        document.start = rest;
        if (rest.sentence == document.end) {
            admit(choice.place);
        } else {
            split_ |= uint64_t{1} << choice.place;
            offer(choice.place);
        }
    }

    // Puts the next document that has text at `place`, if there is one.
    void admit(int place) {
        split_ &= ~(uint64_t{1} << place);
        while (next_ < source_.chosen_count) {
            Waiting& document = waiting_[place];
            fetch_ahead();
            int64_t chosen = source_.chosen[next_++];
            check_document(chosen);
            document.number = static_cast<int64_t>(next_);
            document.end = source_.bounds[chosen + 1];
            document.row = -1;
            document.is_over_rows = false;
            count_sentences(source_.bounds[chosen], document.end);
            document.start = {with_text(source_.bounds[chosen], document.end), 0};
            if (document.start.sentence < document.end) return offer(place);
            ++rows_.empty_documents;
        }
    }

#if defined(__GNUC__)
    // In a random order each document lies elsewhere in memory: asking for its bounds, then for its lengths, before they are needed
    // halves the time. Inline, because GCC takes a function that does nothing else for one without effect and drops its calls.
    __attribute__((always_inline)) void fetch_ahead() const {
        constexpr size_t ahead = 16;
        if (next_ + 2 * ahead >= source_.chosen_count) return;
        const int64_t far = source_.chosen[next_ + 2 * ahead], near = source_.chosen[next_ + ahead];
        if (far >= 0 && static_cast<uint64_t>(far) < source_.documents) __builtin_prefetch(source_.bounds + far);
        if (near < 0 || static_cast<uint64_t>(near) >= source_.documents) return;
        const int64_t begin = source_.bounds[near];
        if (begin < 0 || static_cast<uint64_t>(begin) >= source_.count) return;
        __builtin_prefetch(source_.lengths + begin);
        if (source_.count - static_cast<uint64_t>(begin) > 16) __builtin_prefetch(source_.lengths + begin + 16);
    }
#else
    void fetch_ahead() const {}
#endif

    void check_document(int64_t chosen) const {
        if (chosen < 0 || static_cast<uint64_t>(chosen) >= source_.documents)
            throw std::invalid_argument("document " + std::to_string(chosen) + " of " + std::to_string(source_.documents));
        int64_t begin = source_.bounds[chosen], end = source_.bounds[chosen + 1];
        if (begin < 0 || begin > end || static_cast<uint64_t>(end) > source_.count)
            throw std::invalid_argument("document " + std::to_string(chosen) + " has the sentences " + std::to_string(begin) + " to " +
                                        std::to_string(end) + " of " + std::to_string(source_.count));
    }

    void count_sentences(int64_t begin, int64_t end) {
        rows_.sentences += end - begin;
        const uint32_t limit = static_cast<uint32_t>(limit_);
        bool is_unusual = false;
        for (int64_t sentence = begin; sentence < end; ++sentence) is_unusual |= static_cast<uint32_t>(source_.lengths[sentence]) - 1 >= limit;
        if (!is_unusual) return;
        for (int64_t sentence = begin; sentence < end; ++sentence) {
            int32_t length = source_.lengths[sentence];
            if (length < 0)
                throw std::invalid_argument("sentence " + std::to_string(sentence) + " has " + std::to_string(length) + " tokens");
            rows_.empty_sentences += length == 0;
            rows_.split_sentences += length > limit_;
        }
    }

    // Where a document goes on behind a sample: in the same sentence only if that is longer than a sample.
    Position behind(const Waiting& document, int64_t tokens, int64_t sequences) const {
        const Position start = document.start;
        if (source_.lengths[start.sentence] - start.offset > tokens && sequences == 1) return {start.sentence, start.offset + tokens};
        return {with_text(start.sentence + sequences, document.end), 0};
    }

    int64_t with_text(int64_t sentence, int64_t end) const {
        while (sentence < end && source_.lengths[sentence] == 0) ++sentence;
        return sentence;
    }

    // Computes the samples that the document at `place` could give next and enters them into the sets.
    void offer(int place) {
        Waiting& document = waiting_[place];
        const uint64_t bit = uint64_t{1} << place;
        const int64_t target = target_tokens(document.start), end = document.end;
        // Each has a sentence of its own with a token of its own.
        const size_t most = static_cast<size_t>(std::min(limit_, end - document.start.sentence));
        if (document.prefixes.size() < most) document.prefixes.resize(most);
        Prefix* prefix = document.prefixes.data();
        int64_t sentence = document.start.sentence, tokens = 0, left = source_.lengths[sentence] - document.start.offset;
        bool is_finished = false;
        if (left > limit_) {
            *prefix++ = {static_cast<int32_t>(limit_ + 2), 0};
        } else {
            int32_t special = 2;
            do {
                tokens += left;
                *prefix++ = {static_cast<int32_t>(tokens) + special, static_cast<int32_t>(sentence - document.start.sentence)};
                special = rules_.paired ? 3 : 2;
                sentence = with_text(sentence + 1, end);
                if (sentence == end) break;
                left = source_.lengths[sentence];
            } while (tokens < target && tokens + left <= limit_);
            is_finished = sentence == end;
        }
        document.count = prefix - document.prefixes.data();
        present_ |= bit;
        if (is_single_) return;
        for (int64_t i = 0; i < document.count; ++i) {
            const int32_t width = document.prefixes[i].width;
            having_[width] |= bit;
            widths_[width / 64] |= uint64_t{1} << width % 64;
        }
        if (is_finished) finishing_[prefix[-1].width] |= bit;
    }

    int64_t target_tokens(Position start) const {
        double draw = uniform(hash_words(draws_, static_cast<uint64_t>(start.sentence), static_cast<uint64_t>(start.offset)));
        if (!(draw < rules_.short_probability)) return limit_;
        return 2 + static_cast<int64_t>(draw / rules_.short_probability * static_cast<double>(limit_ - 1));
    }

    void withdraw(int place) {
        const uint64_t others = ~(uint64_t{1} << place);
        const Waiting& document = waiting_[place];
        present_ &= others;
        if (is_single_) return;
        for (int64_t i = 0; i < document.count; ++i) {
            const int32_t width = document.prefixes[i].width;
            const uint64_t left = having_[width] &= others;
            widths_[width / 64] &= ~(static_cast<uint64_t>(left == 0) << width % 64);
        }
        finishing_[document.prefixes[document.count - 1].width] &= others;
    }

    Sentences source_;
    PackingRules rules_;
    uint64_t draws_;  // The words that all draws begin with.
    bool is_single_;  // One document waits and a row takes one sample, always the longest: no sets are needed.
    int64_t limit_;
    std::vector<Waiting> waiting_;
    std::vector<uint64_t> having_, finishing_;  // By width: places with such a prefix; and those whose whole rest it is.
    std::vector<uint64_t> widths_;              // The bits are the widths that some place has.
    uint64_t present_ = 0, split_ = 0;          // Places with a document; those whose document has given a sample.
    size_t next_ = 0;
    PackedRows rows_;
};

}  // namespace

PackedRows pack_rows(const Sentences& source, const PackingRules& rules) {
    if (rules.sequence_length < 4 || rules.sequence_length > kLongestRow)
        throw std::invalid_argument("rows of " + std::to_string(rules.sequence_length) + " tokens");
    if (rules.pool < 1 || rules.pool > kMostPool || rules.most_samples < 1 || rules.oldest_every < 1)
        throw std::invalid_argument("a pool of 1 to 64 documents, and at least 1 sample in a row, are needed");
    return Packer(source, rules).run();
}

}  // namespace megatron_bio
