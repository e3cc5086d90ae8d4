// Takes citation marks that stand high out of a tree, as megatron_bio/corpus/pmc/citations.py, function by function.
#include <algorithm>
#include <vector>

#include "article_text.hpp"
#include "utf8.hpp"

namespace megatron_bio {

namespace {

bool is_dash(uint32_t point) { return point == 0x2013 || point == 0x2010 || point == 0x2011 || point == 0x2212 || point == 0x2014 || point == '-'; }

bool in(uint32_t point, std::string_view characters) { return point < 0x80 && characters.find(static_cast<char>(point)) != std::string_view::npos; }

bool is_ascii_digit(uint32_t point) { return point >= '0' && point <= '9'; }

// Digits of other scripts are the reference reader's.
bool known(uint32_t point) {
    if (point >= 0x660 && point < 0x2000 && !is_white_space(point)) throw Unusual();
    if (point > 0xa000) throw Unusual();
    return true;
}

bool stands_between_marks(std::string_view text) {
    return all_points(text, [](uint32_t point) { return is_white_space(point) || in(point, ",;:.") || is_dash(point); });
}

bool belongs_to_marks(std::string_view text) {
    return all_points(text, [](uint32_t point) {
        return known(point) && (is_white_space(point) || is_ascii_digit(point) || in(point, ",;:.[]()*#") || is_dash(point) ||
                                point == 0x2020 || point == 0x2021 || point == 0xa7 || point == 0xb6 || point == 0x2217);
    });
}

// \d{1,4}[a-z]?(?:[\s,;–‐‑−-]+\d{1,4})*
bool is_number(std::string_view text) {
    const char* end = text.data() + text.size();
    const char* at = text.data();
    auto digits = [&] {
        int count = 0;
        while (at < end && is_ascii_digit(static_cast<unsigned char>(*at)) && count < 4) ++at, ++count;
        return count > 0;
    };
    all_points(text, known);
    if (!digits()) return false;
    if (at < end && *at >= 'a' && *at <= 'z') ++at;
    while (at < end) {
        bool parted = false;
        while (at < end) {
            uint32_t point = 0;
            const char* after = decode(at, end, point);
            if (!is_white_space(point) && !in(point, ",;") && !(is_dash(point) && point != 0x2014)) break;
            at = after;
            parted = true;
        }
        if (!parted || !digits()) return false;
    }
    return true;
}

bool is_mark(const Element* element) {
    if (!element->is("xref")) return false;
    std::string_view type = element->attribute("ref-type");
    for (std::string_view known_type : {"bibr", "ref", "fn", "table-fn", "aff", "corresp", "author-notes"})
        if (type == known_type) return true;
    return false;
}

bool holds_only_superscript(const Element* reference) {
    if (!reference->first || !stripped(reference->text).empty()) return false;
    for (const Element* child = reference->first; child; child = child->next) {
        if (!child->is("sup")) return false;
        if (!all_points(child->tail, [](uint32_t point) { return in(point, " ,;-") || point == 0x2013; })) return false;
    }
    return true;
}

bool is_high_mark(const Element* element) { return is_mark(element) && holds_only_superscript(element); }

bool is_number_mark(const Element* element) { return is_mark(element) && is_number(stripped(inner_text(element))); }

// Some text that ends directly before `element`; empty at the start of its parent.
std::string_view text_before(const Element* element) {
    const Element* before = element->previous;
    if (!before) {
        if (!element->parent) throw Unusual();
        return element->parent->text;
    }
    return before->tail.empty() ? end_of_inner_text(before) : before->tail;
}

void drop(Tree& tree, Element* mark) {
    if (!mark->tail.empty() && mark->tail.front() == '.') {
        std::string_view before = text_before(mark);
        if (!before.empty() && before.back() == '.') mark->tail.remove_prefix(1);
    }
    tree.replace(mark, "");
}

void drop_in_superscript(Tree& tree, Element* superscript) {
    std::vector<Element*> marks;
    size_t children = 0;
    std::string outside(superscript->text);
    for (Element* child = superscript->first; child; child = child->next) {
        if (is_mark(child)) marks.push_back(child);
        outside.append(child->tail);
        ++children;
    }
    if (marks.empty()) return;
    if (marks.size() == children && belongs_to_marks(outside)) {
        drop(tree, superscript);
        return;
    }
    for (Element* mark : marks) tree.replace(mark, "");
}

template <typename Following>
void drop_run(Tree& tree, Element* mark, Following follows) {
    while (true) {
        Element* after = mark->next;
        if (!after || !stands_between_marks(mark->tail)) break;
        if (after->is("sup") && stands_between_marks(inner_text(after))) {
            Element* separator = after;
            after = after->next;
            if (!after || !follows(after) || !stands_between_marks(separator->tail)) break;
            separator->tail = {};
            tree.replace(separator, "");
        } else if (!follows(after)) {
            break;
        }
        mark->tail = {};
        tree.replace(mark, "");
        mark = after;
    }
    drop(tree, mark);
}

bool is_glued_number(const Element* reference, Rules& rules) {
    std::string_view before = text_before(reference);
    if (before.empty()) return false;
    size_t begin = before.size() - 1;
    while ((static_cast<unsigned char>(before[begin]) & 0xc0) == 0x80) --begin;
    unsigned char c = before[begin];
    bool takes = c < 0x80 ? (c | 32) >= 'a' ? (c | 32) <= 'z' && c != '_' : in(c, ")\"%.") : rules.takes_mark(before.substr(begin));
    return takes && is_number_mark(reference);
}

}  // namespace

void drop_marks_standing_high(Tree& tree, Element* holder, Rules& rules) {
    std::vector<Element*> superscripts, references;
    for (Element* one = following(holder, holder); one; one = following(one, holder))
        if (one->is("sup")) superscripts.push_back(one);
    for (Element* superscript : superscripts) {
        Element* parent = superscript->parent;
        if (!parent) continue;
        if (is_mark(parent)) {
            if (holds_only_superscript(parent) && parent->parent) drop_run(tree, parent, is_high_mark);
        } else if (superscript->first) {
            drop_in_superscript(tree, superscript);
        }
    }
    for (Element* one = following(holder, holder); one; one = following(one, holder))
        if (one->is("xref")) references.push_back(one);
    for (Element* reference : references)
        if (reference->parent && is_mark(reference) && is_glued_number(reference, rules)) drop_run(tree, reference, is_number_mark);
}

}  // namespace megatron_bio
