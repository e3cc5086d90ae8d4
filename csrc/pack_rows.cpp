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

// The start of a document's next sample, or an end of one.
struct Position {
    int64_t sentence;
    int64_t offset;
};

struct Prefix {
    int64_t width;
    int64_t tokens;
    int64_t last_sentence;
    Position rest;
};

struct Waiting {
    int64_t number = 0;  // Documents that came before.
    int64_t end = 0;     // The sentence behind the document.
    int64_t row = -1;    // Of its first sample.
    bool is_over_rows = false;
    Position start{0, 0};
    std::vector<Prefix> prefixes;
};

struct Choice {
    int place = -1;
    int64_t width = 0;
};

class Packer {
  public:
    Packer(const Sentences& source, const PackingRules& rules)
        : source_(source), rules_(rules), limit_(rules.sequence_length - (rules.paired ? 3 : 2)), waiting_(rules.pool),
          having_(rules.sequence_length + 1, 0), finishing_(rules.sequence_length + 1, 0) {}

    PackedRows run() {
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
        // What is left of a row may also stay empty.
        int64_t least = room < rules_.sequence_length ? room : std::numeric_limits<int64_t>::max();
        for (int64_t width = room; width > 0 && room - width < least; --width) {
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
        auto prefix = std::lower_bound(document.prefixes.begin(), document.prefixes.end(), choice.width,
                                       [](const Prefix& one, int64_t width) { return one.width < width; });
        rows_.first_sequence.push_back(document.start.sentence);
        rows_.first_offset.push_back(static_cast<int32_t>(document.start.offset));
        rows_.lengths.push_back(static_cast<int32_t>(prefix->tokens));
        int64_t sequences = prefix->last_sentence - document.start.sentence + 1;
        rows_.sequences.push_back(static_cast<int32_t>(sequences));
        rows_.single_sentence_samples += sequences == 1;
        rows_.tokens += prefix->tokens;
        if (document.row < 0) document.row = row;
        if (document.row != row && !document.is_over_rows) {
            document.is_over_rows = true;
            ++rows_.documents_over_rows;
        }
        Position rest = prefix->rest;
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
        for (int64_t sentence = begin; sentence < end; ++sentence) {
            int32_t length = source_.lengths[sentence];
            if (length < 0)
                throw std::invalid_argument("sentence " + std::to_string(sentence) + " has " + std::to_string(length) + " tokens");
            rows_.empty_sentences += length == 0;
            rows_.split_sentences += length > limit_;
        }
    }

    int64_t with_text(int64_t sentence, int64_t end) const {
        while (sentence < end && source_.lengths[sentence] == 0) ++sentence;
        return sentence;
    }

    // Computes the samples that the document at `place` could give next and enters them into the sets.
    void offer(int place) {
        Waiting& document = waiting_[place];
        document.prefixes.clear();
        const uint64_t bit = uint64_t{1} << place;
        const int64_t target = target_tokens(document.start);
        Position at = document.start;
        int64_t tokens = 0;
        for (int64_t pieces = 1; at.sentence < document.end && tokens < target; ++pieces) {
            int64_t left = source_.lengths[at.sentence] - at.offset;
            int64_t piece = std::min(left, limit_);
            if (tokens + piece > limit_) break;
            tokens += piece;
            int64_t last = at.sentence;
            if (piece < left) {
                at.offset += piece;
            } else {
                at = {with_text(at.sentence + 1, document.end), 0};
            }
            document.prefixes.push_back({tokens + (pieces > 1 && rules_.paired ? 3 : 2), tokens, last, at});
            having_[document.prefixes.back().width] |= bit;
        }
        if (at.sentence == document.end) finishing_[document.prefixes.back().width] |= bit;
        present_ |= bit;
    }

    int64_t target_tokens(Position start) const {
        double draw = uniform(hash_words(rules_.seed, rules_.purpose, static_cast<uint64_t>(start.sentence), static_cast<uint64_t>(start.offset)));
        if (!(draw < rules_.short_probability)) return limit_;
        return 2 + static_cast<int64_t>(draw / rules_.short_probability * static_cast<double>(limit_ - 1));
    }

    void withdraw(int place) {
        const uint64_t others = ~(uint64_t{1} << place);
        for (const Prefix& prefix : waiting_[place].prefixes) having_[prefix.width] &= others;
        finishing_[waiting_[place].prefixes.back().width] &= others;
        present_ &= others;
    }

    Sentences source_;
    PackingRules rules_;
    int64_t limit_;
    std::vector<Waiting> waiting_;
    std::vector<uint64_t> having_, finishing_;  // By width: places with such a prefix; and those whose whole rest it is.
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
