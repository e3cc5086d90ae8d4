#include "article_text.hpp"

#include <algorithm>
#include <cctype>
#include <unordered_map>
#include <unordered_set>

#include "utf8.hpp"

namespace megatron_bio {

namespace {

enum class Part { none, inline_formula, one_after_the_other, set_apart, title, label, term, superscript, subscript, underline, line_break,
                  with_caption, formula, apparatus, note };

Part part_of(const Element* element) {
    static const std::unordered_map<std::string_view, Part> parts = [] {
        std::unordered_map<std::string_view, Part> table;
        auto add = [&](Part part, std::initializer_list<std::string_view> names) {
            for (std::string_view name : names) table[name] = part;
        };
        add(Part::inline_formula, {"math"});
        add(Part::one_after_the_other, {"p", "sec", "attrib", "verse-line", "subtitle"});
        add(Part::set_apart, {"list", "list-item", "disp-quote", "boxed-text", "def-list", "def-item", "statement", "verse-group",
                              "speech", "moved-note"});
        add(Part::note, {"fn"});
        add(Part::title, {"title"});
        add(Part::label, {"label"});
        add(Part::term, {"term", "speaker"});
        add(Part::superscript, {"sup"});
        add(Part::subscript, {"sub"});
        add(Part::underline, {"underline"});
        add(Part::line_break, {"break"});
        add(Part::with_caption, {"fig", "fig-group", "table-wrap", "table-wrap-group", "media", "supplementary-material"});
        add(Part::formula, {"disp-formula", "disp-formula-group", "chem-struct-wrap", "chem-struct"});
        add(Part::apparatus, {"ref-list", "glossary", "fn-group", "ack", "notes", "sec-meta", "object-id", "permissions", "alt-text",
                              "long-desc", "table", "table-wrap-foot", "array", "code", "preformat", "graphic", "inline-graphic",
                              "tex-math", "kwd-group", "private-char", "contrib-group", "index-term", "floats-group", "back"});
        return table;
    }();
    if (element->name.empty()) return Part::none;
    auto found = parts.find(element->name);
    return found == parts.end() ? Part::none : found->second;
}

template <typename Condition>
std::vector<Element*> descendants(Element* holder, Condition condition) {
    std::vector<Element*> found;
    for (Element* one = following(holder, holder); one; one = following(one, holder))
        if (condition(one)) found.push_back(one);
    return found;
}

bool closes_up(std::string_view tail) {
    return !tail.empty() && (std::string_view(".,;:)]?!%").find(tail[0]) != std::string_view::npos ||
                             tail.substr(0, 3) == "\xe2\x80\x99" || tail.substr(0, 3) == "\xe2\x80\x9d");
}

void leave_out(Tree& tree, Element* element) {
    if (!element->parent) return;
    Part part = part_of(element);
    bool parts = part == Part::formula || part == Part::with_caption;
    tree.replace(element, parts && !closes_up(element->tail) ? " " : "");
}

// To the end of the outermost paragraph around `place`, without its tail, or directly after `place`.
void move_after_block(Tree& tree, Element* element, Element* place, Element* holder) {
    Element* block = place;
    for (Element* ancestor = place->parent; ancestor; ancestor = ancestor->parent) {
        if (ancestor == holder || ancestor->is("sec") || ancestor->is("boxed-text")) break;
        block = ancestor;
    }
    if (block == element) return;
    Element* moved = tree.make("moved-note");
    moved->text = element->text;
    while (Element* child = element->first) {
        unlink(child);
        append_child(moved, child);
    }
    if (element == place)
        tree.replace(element, "");
    else
        unlink(element);
    if (!block->parent) throw Unusual();
    insert_after(block, moved);
    moved->tail = block->tail;
    block->tail = {};
}

void move_notes(Tree& tree, Element* holder) {
    std::vector<Element*> notes = descendants(holder, [](Element* one) { return one->is("fn"); });
    for (auto note = notes.rbegin(); note != notes.rend(); ++note) {
        Element* parent = (*note)->parent;
        if (!parent || parent->is("fn-group") || parent->is("table-wrap-foot")) continue;
        for (Element* child = (*note)->first; child;) {
            Element* after = child->next;
            if (child->is("label")) tree.replace(child, "");
            child = after;
        }
        move_after_block(tree, *note, *note, holder);
    }
}

// The paragraphs below a title or label in one line, not cleaned.
std::string line(Tree& tree, Element* holder, Rules& rules) {
    for (Element* note : descendants(holder, [](Element* one) { return one->is("fn"); })) tree.replace(note, "");
    std::string text = marked_text(tree, holder, false, rules);
    for (size_t at; (at = text.find(kParagraphMark)) != std::string::npos;) text.replace(at, kParagraphMark.size(), " ");
    return std::string(stripped(text));
}

// `<label>Figure 1.</label><caption><title>T.</title><p>Text.</p></caption>` → `Figure 1. T.`, `Text.`
void move_captions(Tree& tree, Element* holder, Rules& rules) {
    std::vector<Element*> floats = descendants(holder, [](Element* one) { return part_of(one) == Part::with_caption; });
    for (auto one = floats.rbegin(); one != floats.rend(); ++one) {
        Element* caption = (*one)->child("caption");
        if (!caption || (*one)->is("media") || (*one)->is("supplementary-material")) continue;
        if (Element* label = (*one)->child("label")) {
            label->tail = {};
            Element* first = caption->first;
            while (first && !first->is("title") && !first->is("p")) first = first->next;
            if (!first) first = caption;
            first->text = tree.keep(line(tree, label, rules) + " " + std::string(first->text));
        }
        caption->tail = {};
        move_after_block(tree, caption, *one, holder);
    }
}

void end_paragraph(Tree& tree, Element* element) { element->tail = tree.joined(kParagraphMark, element->tail); }

// Text and markup directly before it, in a section or in another paragraph, are parted from it too.
void part_off(Tree& tree, Element* element) {
    const Element* before = element->previous;
    Part part = before ? part_of(before) : Part::none;
    bool is_joined_or_parted = part == Part::one_after_the_other || part == Part::set_apart || part == Part::note || part == Part::title ||
                               part == Part::label || part == Part::term;
    if (!stripped(before ? before->tail : element->parent->text).empty() || (before && !is_joined_or_parted))
        tree.append_before(element, kParagraphMark);
    end_paragraph(tree, element);
}

void label(Tree& tree, Element* element, Rules& rules) {
    std::string text = inner_text(element);
    bool has = std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x80 && std::isalnum(c); });
    if (!has && std::any_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x80; })) has = rules.has_letter_or_digit(text);
    if (has)
        element->tail = tree.joined(" ", element->tail);
    else
        tree.replace(element, "");
}

void render(Tree& tree, Element* element, Part part, Rules& rules) {
    auto content = [&] { return element->first ? inner_text(element) : std::string(element->text); };
    switch (part) {
        case Part::one_after_the_other:
            part_off(tree, element);
            break;
        case Part::set_apart:
        case Part::note:
            tree.append_before(element, kParagraphMark);
            end_paragraph(tree, element);
            break;
        case Part::title:
            // The title of a section of which nothing else is left goes too.
            if (!element->next && stripped(element->tail).empty() && (element->parent->is("sec") || element->parent->is("app")))
                tree.set_text(element, "");
            else
                part_off(tree, element);
            break;
        case Part::label:
            label(tree, element, rules);
            break;
        case Part::term:
            if (element->next) {
                size_t begin = element->tail.find_first_not_of(" :");
                std::string_view rest = begin == std::string_view::npos ? std::string_view() : element->tail.substr(begin);
                element->tail = tree.joined(": ", rest);
            }
            break;
        case Part::superscript:
            tree.set_text(element, tree.keep(rules.superscript(content())));
            break;
        case Part::subscript:
            tree.set_text(element, tree.keep(rules.subscript(content())));
            break;
        case Part::underline:
            tree.set_text(element, tree.keep(rules.underlined(content())));
            break;
        case Part::line_break:
            element->text = " ";
            break;
        case Part::inline_formula:
            tree.set_text(element, tree.keep(rules.math("<m" + tree.declarations() + ">" + std::string(element->source) + "</m>")));
            break;
        default:
            break;
    }
}

std::string lower(std::string_view text) {
    std::string changed(text);
    for (char& c : changed) {
        if (static_cast<unsigned char>(c) >= 0x80) throw Unusual();
        c = static_cast<char>(std::tolower(c));
    }
    return changed;
}

bool is_side_type(const Element* section) {
    std::string type = lower(section->attribute("sec-type"));
    for (std::string_view side : {"supplementary-material", "supplementary material", "coi-statement", "conflict", "funding-information",
                                  "author-contribution", "author-contributions", "data-availability", "additional-information",
                                  "display-objects"})
        if (type == side) return true;
    return false;
}

bool is_side_title(const Element* title, Rules& rules) {
    std::string text = title->first ? inner_text(title) : std::string(title->text);
    // Titles of 80 characters or more are none; a character has at most four bytes.
    return !text.empty() && text.size() < 320 && rules.is_side_title(text);
}

void remove_side_sections(Element* holder, Rules& rules) {
    std::vector<Element*> found;
    std::unordered_set<Element*> known;
    auto add = [&](Element* section) {
        if (section && section->is("sec") && known.insert(section).second) found.push_back(section);
    };
    for (Element* one = holder; one; one = following(one, holder)) {
        if (one->is("title") && is_side_title(one, rules)) add(one->parent);
        if (one->is("sec") && is_side_type(one)) add(one);
    }
    for (Element* section : found) unlink(section);
}

// Hundreds of authors make up most of many a front, and are not read.
std::string front_of(std::string_view content, const Element* root, const Element* body) {
    std::string front;
    const char* at = content.data();
    for (const Element* one = root->first; one != body; one = following(one, root)) {
        if (!(one->is("contrib-group") || one->is("abstract")) || one->source.data() < at) continue;
        front.append(at, one->source.data() - at);
        at = one->source.data() + one->source.size();
    }
    return front.append(at, body->source.data() - at).append("</article>");
}

Element* chosen_abstract(const Element* article_meta, Rules& rules) {
    Element* summary = nullptr;
    for (Element* one = article_meta->first; one; one = one->next) {
        if (!one->is("abstract")) continue;
        const Element* title = one->child("title");
        std::string_view type = one->attribute("abstract-type");
        if (rules.is_main_abstract(title ? inner_text(title) : std::string(), type)) return one;
        if (!summary && type == "summary") summary = one;
    }
    return summary;
}

// A section's title stands before its first paragraph: `Methods: We ...`.
std::string abstract_text(Tree& tree, const Element* article_meta, Rules& rules) {
    Element* abstract = chosen_abstract(article_meta, rules);
    if (!abstract) return {};
    remove_side_sections(abstract, rules);
    for (Element* child = abstract->first; child;) {
        Element* after = child->next;
        if (child->is("title") || child->is("label")) unlink(child);
        child = after;
    }
    for (Element* heading : descendants(abstract, [](Element* one) { return one->is("title"); })) {
        std::string text = line(tree, heading, rules);
        std::string_view kept = stripped(text);
        for (size_t before = kept.size() + 1; kept.size() < before;) {
            before = kept.size();
            kept = stripped(kept.substr(0, kept.find_last_not_of(".:") + 1));
        }
        heading->name = "label";
        tree.set_text(heading, kept.empty() ? std::string_view() : tree.keep(std::string(kept) + ":"));
    }
    return marked_text(tree, abstract, false, rules);
}

}  // namespace

std::string marked_text(Tree& tree, Element* holder, bool captions, Rules& rules) {
    move_notes(tree, holder);
    if (captions) move_captions(tree, holder, rules);
    auto is_left_out = [](Element* one) {
        Part part = part_of(one);
        return part == Part::with_caption || part == Part::formula || part == Part::apparatus;
    };
    for (Element* element : descendants(holder, is_left_out)) leave_out(tree, element);
    drop_marks_standing_high(tree, holder, rules);
    std::vector<std::pair<Element*, Part>> rendered;
    for (Element* one = following(holder, holder); one; one = following(one, holder))
        if (Part part = part_of(one); part != Part::none) rendered.emplace_back(one, part);
    for (auto one = rendered.rbegin(); one != rendered.rend(); ++one) render(tree, one->first, one->second, rules);
    return inner_text(holder);
}

ArticleText article_text(Tree& tree, std::string_view content, bool captions, Rules& rules) {
    Element* root = tree.root();
    if (!root->is("article")) throw Unusual();
    Element* body = root->child("body");
    if (!body) throw Unusual();
    const Element* front = root->child("front");
    if (!front || front->source.data() > body->source.data()) throw Unusual();
    const Element* article_meta = front->child("article-meta");
    ArticleText found;
    found.front = front_of(content, root, body);
    if (article_meta) found.abstract = abstract_text(tree, article_meta, rules);
    remove_side_sections(body, rules);
    found.body = marked_text(tree, body, captions, rules);
    found.body += kParagraphMark;
    Element* floats = root->child("floats-group");
    for (Element* back = root->first; back; back = back->next) {
        if (!back->is("back")) continue;
        for (Element* group = back->first; group; group = group->next) {
            if (!group->is("app-group")) continue;
            for (Element* appendix = group->first; appendix; appendix = appendix->next) {
                if (!appendix->is("app")) continue;
                Element* title = appendix->child("title");
                if (is_side_type(appendix) || (title && is_side_title(title, rules))) continue;
                remove_side_sections(appendix, rules);
                found.body += marked_text(tree, appendix, captions, rules);
                found.body += kParagraphMark;
            }
        }
    }
    if (captions && floats) found.body += marked_text(tree, floats, true, rules);
    return found;
}

}  // namespace megatron_bio
