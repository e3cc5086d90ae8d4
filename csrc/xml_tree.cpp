#include "xml_tree.hpp"

#include <algorithm>
#include <utility>

namespace megatron_bio {

std::string_view Element::attribute(std::string_view wanted) const {
    size_t at = 0;
    while (at < attributes.size()) {
        size_t begin = attributes.find_first_not_of(" \t\n", at);
        if (begin == std::string_view::npos) break;
        size_t equals = attributes.find('=', begin);
        size_t end = attributes.find_last_not_of(" \t\n", equals - 1) + 1;
        size_t opening = attributes.find_first_of("\"'", equals);
        size_t closing = attributes.find(attributes[opening], opening + 1);
        if (attributes.substr(begin, end - begin) == wanted) {
            std::string_view value = attributes.substr(opening + 1, closing - opening - 1);
            if (value.find_first_of("&\t\n") != std::string_view::npos) throw Unusual();
            return value;
        }
        at = closing + 1;
    }
    return {};
}

Element* Element::child(std::string_view wanted) const {
    for (Element* one = first; one; one = one->next)
        if (one->is(wanted)) return one;
    return nullptr;
}

Element* Tree::make(std::string_view name) {
    constexpr size_t kBlock = 512;
    if (!elements_left_) {
        elements_.push_back(std::make_unique<Element[]>(kBlock));
        elements_left_ = kBlock;
    }
    Element& element = elements_.back()[kBlock - elements_left_--];
    element.name = name;
    return &element;
}

char* Tree::room(size_t size) {
    constexpr size_t kBlock = 1 << 16;
    if (size > room_left_) {
        // Room to grow, so that a long text to which much is joined is not copied each time.
        room_left_ = std::max(2 * size, kBlock);
        taken_ += room_left_;
        // Thousands of notes in one paragraph would take memory by the square of their number.
        if (taken_ > 16 * (content_.size() + kBlock)) throw Unusual();
        strings_.emplace_back(new char[room_left_]);
        free_ = strings_.back().get();
    }
    room_left_ -= size;
    return std::exchange(free_, free_ + size);
}

std::string_view Tree::keep(std::string_view text) { return {std::copy(text.begin(), text.end(), room(text.size())) - text.size(), text.size()}; }

std::string_view Tree::joined(std::string_view first, std::string_view second) {
    if (first.empty()) return second;
    if (second.empty()) return first;
    // What was kept last grows where it stands.
    if (first.data() + first.size() == free_ && second.size() <= room_left_) {
        keep(second);
        return {first.data(), first.size() + second.size()};
    }
    char* both = room(first.size() + second.size());
    std::copy(second.begin(), second.end(), std::copy(first.begin(), first.end(), both));
    return {both, first.size() + second.size()};
}

std::string Tree::declarations() const {
    std::string written;
    for (std::string_view prefix : prefixes_) written.append(" xmlns:").append(prefix).append("=\"").append(prefix).append("\"");
    return written;
}

void Tree::append_before(Element* element, std::string_view text) {
    if (element->previous)
        element->previous->tail = joined(element->previous->tail, text);
    else if (element->parent)
        element->parent->text = joined(element->parent->text, text);
    else
        throw Unusual();
}

void Tree::replace(Element* element, std::string_view text) {
    // One after the other, so that the text before grows where it stands.
    if (!text.empty()) append_before(element, text);
    if (!element->tail.empty()) append_before(element, element->tail);
    unlink(element);
}

void Tree::set_text(Element* element, std::string_view text) {
    for (Element* child = element->first; child;) {
        Element* after = child->next;
        child->parent = child->previous = child->next = nullptr;
        child = after;
    }
    element->first = element->last = nullptr;
    element->text = text;
}

void unlink(Element* element) {
    Element* parent = element->parent;
    if (!parent) throw Unusual();
    (element->previous ? element->previous->next : parent->first) = element->next;
    (element->next ? element->next->previous : parent->last) = element->previous;
    element->parent = element->previous = element->next = nullptr;
}

void insert_after(Element* place, Element* element) {
    element->parent = place->parent;
    element->previous = place;
    element->next = place->next;
    (place->next ? place->next->previous : place->parent->last) = element;
    place->next = element;
}

void append_child(Element* parent, Element* child) {
    child->parent = parent;
    child->previous = parent->last;
    child->next = nullptr;
    (parent->last ? parent->last->next : parent->first) = child;
    parent->last = child;
}

Element* following(const Element* element, const Element* holder) {
    if (element->first) return element->first;
    while (element != holder && !element->next) {
        element = element->parent;
        if (!element) return nullptr;
    }
    return element == holder ? nullptr : element->next;
}

std::string_view end_of_inner_text(const Element* element) {
    for (const Element* child = element->last; child; child = child->previous) {
        if (!child->tail.empty()) return child->tail;
        if (std::string_view text = end_of_inner_text(child); !text.empty()) return text;
    }
    return element->text;
}

void append_inner_text(const Element* element, std::string& text) {
    text.append(element->text);
    for (const Element* child = element->first; child; child = child->next) {
        append_inner_text(child, text);
        text.append(child->tail);
    }
}

std::string inner_text(const Element* element) {
    std::string text;
    append_inner_text(element, text);
    return text;
}

}  // namespace megatron_bio
