#include "usual_citation.hpp"

#include <cstring>

#include "clean_text.hpp"
#include "unusual.hpp"
#include "xml_references.hpp"

namespace megatron_bio {

namespace {

constexpr size_t kTagAndSpaceBytes = 128;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// A position in a record that goes forward; what is expected and not there is Unusual.
class Cursor {
  public:
    Cursor(std::string_view buffer, size_t begin, size_t end) : buffer_(buffer.substr(0, end)), at(begin) {}

    void skip_space() {
        while (at < buffer_.size() && is_space(buffer_[at])) ++at;
    }
    bool starts(std::string_view text) const { return buffer_.substr(at, text.size()) == text; }
    bool take(std::string_view text) {
        if (!starts(text)) return false;
        at += text.size();
        return true;
    }
    void expect(std::string_view text) {
        if (!take(text)) throw Unusual();
    }
    // Everything up to the next of these characters.
    std::string_view until(std::string_view stops) {
        size_t stop = buffer_.find_first_of(stops, at);
        if (stop == std::string_view::npos) throw Unusual();
        std::string_view text = buffer_.substr(at, stop - at);
        at = stop;
        return text;
    }
    unsigned long number(size_t most_digits) {
        size_t begin = at;
        unsigned long value = 0;
        for (; at < buffer_.size() && buffer_[at] >= '0' && buffer_[at] <= '9'; ++at) value = value * 10 + (buffer_[at] - '0');
        if (at == begin || at - begin > most_digits) throw Unusual();
        return value;
    }
    // Up to a value without markup that ends with a quotation mark.
    std::string_view value() {
        std::string_view text = until("\"<&");
        expect("\"");
        return text;
    }
    // Where a text next begins, before `limit`; npos if nowhere.
    size_t find(std::string_view text, size_t from, size_t limit) const {
        if (from >= limit) return std::string_view::npos;
        const void* found = memmem(buffer_.data() + from, limit - from, text.data(), text.size());
        return found ? static_cast<const char*>(found) - buffer_.data() : std::string_view::npos;
    }
    size_t expect_after(std::string_view text, size_t from) const {
        size_t found = find(text, from, buffer_.size());
        if (found == std::string_view::npos) throw Unusual();
        return found;
    }
    void require_before(size_t position, std::initializer_list<std::string_view> tags) const {
        size_t end = position;
        size_t least = position > kTagAndSpaceBytes ? position - kTagAndSpaceBytes : 0;
        while (end > least && is_space(buffer_[end - 1])) --end;
        for (std::string_view tag : tags)
            if (end >= tag.size() + least && buffer_.substr(end - tag.size(), tag.size()) == tag) return;
        throw Unusual();
    }
    std::string_view buffer() const { return buffer_; }

  private:
    std::string_view buffer_;

  public:
    size_t at;
};

class Reader {
  public:
    Reader(std::string_view stable, PieceReader& others) : stable_(stable), others_(others) {}

    std::string text(std::string_view piece) const {
        bool has_references = false;
        for (size_t i = 0; i < piece.size(); ++i) {
            unsigned char c = piece[i];
            if (c == '<' || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || (c == ']' && piece.substr(i, 3) == "]]>"))
                return others_.read(piece);
            has_references = has_references || c == '&';
        }
        std::string resolved;
        if (has_references && !resolve(piece, resolved)) return others_.read(piece);
        bool is_usual = true;
        size_t spaces = 0;
        std::string cleaned = closed_up(has_references ? std::string_view(resolved) : piece, stable_, is_usual, spaces);
        return is_usual ? cleaned : others_.read(piece);
    }

  private:
    static bool resolve(std::string_view piece, std::string& resolved) {
        while (!piece.empty()) {
            size_t reference = piece.find('&');
            resolved.append(piece.substr(0, reference));
            if (reference == std::string_view::npos) break;
            piece.remove_prefix(reference);
            auto [size, meant] = predefined_entity(piece);
            if (!size) return false;
            resolved.push_back(meant);
            piece.remove_prefix(size);
        }
        return true;
    }

    std::string_view stable_;
    PieceReader& others_;
};

void read_head(Cursor& cursor, UsualCitation& citation) {
    if (cursor.take("<PubmedArticle>")) cursor.skip_space();
    cursor.expect("<MedlineCitation");
    if (!cursor.starts(">")) {
        std::string_view attributes = cursor.until("<>&");
        if (attributes.empty() || !is_space(attributes.front())) throw Unusual();
    }
    cursor.expect(">");
    cursor.skip_space();
    cursor.expect("<PMID");
    if (cursor.take(" Version=\"")) {
        citation.version = cursor.number(5);
        cursor.expect("\"");
    }
    cursor.expect(">");
    citation.pmid = cursor.number(10);
    cursor.expect("</PMID>");
    cursor.skip_space();
    for (std::string_view name : {"Created>", "Completed>", "Revised>"}) {
        if (!cursor.take("<Date")) break;
        if (!cursor.take(name)) {
            cursor.at -= 5;
            continue;
        }
        cursor.skip_space();
        while (!cursor.take("</Date")) {
            cursor.expect("<");
            std::string_view part = cursor.until(">");
            if (part != "Year" && part != "Month" && part != "Day") throw Unusual();
            cursor.expect(">");
            cursor.until("<&");
            cursor.expect("</");
            cursor.expect(part);
            cursor.expect(">");
            cursor.skip_space();
        }
        cursor.expect(name);
        cursor.skip_space();
    }
    cursor.expect("<Article");
    if (cursor.take(" PubModel=\"")) cursor.value();
    cursor.expect(">");
    cursor.skip_space();
    cursor.expect("<Journal>");
    citation.head_end = cursor.at;
}

void read_abstract(Cursor& cursor, const Reader& reader, UsualCitation& citation) {
    cursor.expect("<Abstract>");
    while (true) {
        cursor.skip_space();
        if (!cursor.take("<AbstractText")) break;
        std::string_view label;
        if (cursor.take(" Label=\"")) label = cursor.value();
        if (cursor.take(" NlmCategory=\"")) cursor.value();
        cursor.expect(">");
        size_t end = cursor.expect_after("</AbstractText>", cursor.at);
        std::string text = reader.text(cursor.buffer().substr(cursor.at, end - cursor.at));
        if (!text.empty()) citation.abstract.emplace_back(label.empty() ? std::string() : reader.text(label), std::move(text));
        cursor.at = end + std::strlen("</AbstractText>");
    }
    if (cursor.take("<CopyrightInformation>")) {
        cursor.until("<");
        cursor.expect("</CopyrightInformation>");
        cursor.skip_space();
    }
    cursor.expect("</Abstract>");
}

void read_languages(Cursor& cursor, const Reader& reader, UsualCitation& citation) {
    while (true) {
        size_t before = cursor.at;
        cursor.skip_space();
        if (!cursor.take("<Language>")) {
            cursor.at = before;
            return;
        }
        std::string text = reader.text(cursor.until("<&"));
        cursor.expect("</Language>");
        if (!text.empty()) citation.languages.push_back(std::move(text));
    }
}

}  // namespace

UsualCitation usual_citation(std::string_view buffer, size_t begin, size_t end, std::string_view stable, PieceReader& others) {
    constexpr auto npos = std::string_view::npos;
    UsualCitation citation;
    Cursor cursor(buffer, begin, end);
    Reader reader(stable, others);
    read_head(cursor, citation);
    citation.title_begin = cursor.expect_after("<ArticleTitle>", cursor.at);
    cursor.require_before(citation.title_begin, {"</Journal>"});
    citation.title_end = cursor.expect_after("</ArticleTitle>", citation.title_begin);
    size_t title_text = citation.title_begin + std::strlen("<ArticleTitle>");
    citation.title = reader.text(buffer.substr(title_text, citation.title_end - title_text));
    cursor.at = citation.title_end;
    size_t abstract = cursor.find("<Abstract>", citation.title_end, end);
    if (abstract != npos) {
        cursor.require_before(abstract, {"</ArticleTitle>", "</Pagination>", "</ELocationID>"});
        cursor.at = abstract;
        read_abstract(cursor, reader, citation);
    }
    size_t language = cursor.expect_after("<Language>", cursor.at);
    citation.before_authors = abstract == npos ? language : abstract;
    citation.article_end = cursor.expect_after("</Article>", language);
    if (cursor.find("<Abstract", cursor.at, citation.article_end) != npos) throw Unusual();
    cursor.require_before(language, {"</ArticleTitle>", "</Pagination>", "</ELocationID>", "</Abstract>", "</Affiliation>", "</AuthorList>"});
    cursor.at = language;
    read_languages(cursor, reader, citation);
    citation.after_languages = cursor.at;
    if (cursor.find("<Language", cursor.at, citation.article_end) != npos) throw Unusual();
    citation.citation_end = cursor.expect_after("</MedlineCitation>", citation.article_end);
    return citation;
}

}  // namespace megatron_bio
