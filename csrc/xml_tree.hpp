// The elements of an XML document as lxml shows them: each with the text before its first child and the text after itself.
//
// Only documents that need nothing unusual are read (UTF-8, no internal subset, no entities but XML's own and numbers, no
// carriage returns): for every other document, a malformed one among them, `Unusual` is thrown, and the caller's reference
// reader decides. What is read is well-formed: https://www.w3.org/TR/xml/ and https://www.w3.org/TR/xml-names/
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "unusual.hpp"

namespace megatron_bio {

struct Element {
    std::string_view name;        // Empty in a namespace, but for `math`.
    std::string_view attributes;  // As they stand in the start tag.
    std::string_view text;
    std::string_view tail;
    std::string_view source;  // From `<` to `>`.
    Element* parent = nullptr;
    Element* first = nullptr;
    Element* last = nullptr;
    Element* previous = nullptr;
    Element* next = nullptr;

    bool is(std::string_view wanted) const { return name == wanted; }
    // The value of an attribute without prefix; empty if there is none. Throws Unusual for references in it.
    std::string_view attribute(std::string_view wanted) const;
    Element* child(std::string_view wanted) const;
};

// Owns elements and strings; all views into them and into the content live as long as it does.
class Tree {
  public:
    // Elements with these names are there, but empty: what is in them is checked and left out.
    Tree(std::string_view content, const std::vector<std::string_view>& never_read);
    Element* root() const { return root_; }
    // Declarations of all prefixes in the document, to stand in a start tag: ` xmlns:mml="mml"`.
    std::string declarations() const;

    Element* make(std::string_view name);
    std::string_view keep(std::string_view text);
    std::string_view joined(std::string_view first, std::string_view second);

    // Changes that leave the text around intact, as in megatron_bio/corpus/pmc/tree.py.
    void append_before(Element* element, std::string_view text);
    void replace(Element* element, std::string_view text);
    void set_text(Element* element, std::string_view text);

  private:
    friend class Parser;
    std::string_view content_;
    std::vector<std::string_view> never_read_;
    char* room(size_t size);

    // In blocks, as there are thousands of each and none is freed before all are.
    std::vector<std::unique_ptr<Element[]>> elements_;
    size_t elements_left_ = 0;
    std::vector<std::unique_ptr<char[]>> strings_;
    size_t room_left_ = 0;
    size_t taken_ = 0;
    char* free_ = nullptr;
    std::vector<std::string_view> prefixes_;
    Element* root_ = nullptr;
};

// Takes an element out of its parent, with its tail.
void unlink(Element* element);
// Puts an element directly after another one (and after the tail of that).
void insert_after(Element* place, Element* element);
void append_child(Element* parent, Element* child);
// The next element in document order below `holder`; nullptr at the end.
Element* following(const Element* element, const Element* holder);
// All text inside an element, without its tail.
std::string inner_text(const Element* element);
// Some of it that ends where it ends; empty if it is empty.
std::string_view end_of_inner_text(const Element* element);
void append_inner_text(const Element* element, std::string& text);

}  // namespace megatron_bio
