// The bytes of a document → its tree. One pass over the characters, then one over the tags.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "utf8.hpp"
#include "xml_characters.hpp"
#include "xml_references.hpp"
#include "xml_tree.hpp"

namespace megatron_bio {

namespace {

constexpr int kDeepest = 200;                 // libxml2 refuses 256.
constexpr size_t kLongestText = 9'000'000;    // libxml2 refuses 10 million bytes in one node.
constexpr std::ptrdiff_t kLongestName = 1000;
constexpr std::ptrdiff_t kLongestMark = 1'000'000;  // Of an attribute, a comment or an instruction.
constexpr size_t kMostAttributes = 100;
constexpr size_t kMostPrefixes = 20;

}  // namespace

class Parser {
  public:
    Parser(Tree& tree) : tree_(tree), at_(tree.content_.data()), end_(at_ + tree.content_.size()) {}

    void read() {
        check_characters(at_, end_);
        if (starts("\xef\xbb\xbf")) at_ += 3;
        read_declaration();
        read_outside(true);
        read_element();
        while (!frames_.empty()) read_content();
        read_outside(false);
        if (at_ != end_) throw Unusual();
    }

  private:
    bool is_never_read(std::string_view name) const {
        return std::find(tree_.never_read_.begin(), tree_.never_read_.end(), name) != tree_.never_read_.end();
    }

    bool starts(std::string_view text) const {
        return static_cast<size_t>(end_ - at_) >= text.size() && std::memcmp(at_, text.data(), text.size()) == 0;
    }

    void require(bool condition) const {
        if (!condition) throw Unusual();
    }

    char here() const {
        require(at_ < end_);
        return *at_;
    }

    void skip_space() {
        while (at_ < end_ && is_space(*at_)) ++at_;
    }

    const char* find(std::string_view text) const {
        const void* found = memmem(at_, end_ - at_, text.data(), text.size());
        require(found);
        return static_cast<const char*>(found);
    }

    void read_declaration() {
        if (!starts("<?xml") || end_ - at_ < 6 || !is_space(at_[5])) return;
        const char* close = find("?>");
        std::string_view declaration(at_, close - at_);
        require(declaration.find("version=\"1.0\"") != std::string_view::npos);
        size_t encoding = declaration.find("encoding");
        if (encoding != std::string_view::npos) {
            std::string_view rest = declaration.substr(encoding + 8);
            require(rest.substr(0, 8) == "=\"UTF-8\"" || rest.substr(0, 8) == "=\"utf-8\"");
        }
        require(declaration.find("standalone") == std::string_view::npos);
        at_ = close + 2;
    }

    // Before and after the root: comments, instructions and one DOCTYPE without subset.
    void read_outside(bool before) {
        bool may_have_doctype = before;
        for (skip_space(); at_ < end_; skip_space()) {
            if (starts("<!--"))
                skip_comment();
            else if (starts("<?"))
                skip_instruction();
            else if (may_have_doctype && starts("<!DOCTYPE ")) {
                may_have_doctype = false;
                skip_doctype();
            } else
                return;
        }
    }

    void skip_doctype() {
        const char* close = find(">");
        std::string_view inside(at_ + 10, close - at_ - 10);
        require(inside.find_first_of("[<&%") == std::string_view::npos);
        const char* at = at_ + 10;
        at_ = at;
        require(is_name_start(here()));
        while (is_name_character(here())) ++at_;
        skip_space();
        if (starts("PUBLIC ")) {
            at_ += 7;
            skip_literal();
            skip_literal();
        } else if (starts("SYSTEM ")) {
            at_ += 7;
            skip_literal();
        }
        skip_space();
        require(here() == '>');
        ++at_;
    }

    void skip_literal() {
        skip_space();
        char quote = here();
        require(quote == '"' || quote == '\'');
        ++at_;
        while (here() != quote) ++at_;
        ++at_;
    }

    void skip_comment() {
        const char* begin = at_;
        at_ += 4;
        at_ = find("--");
        require(starts("-->") && at_ - begin < kLongestMark);
        at_ += 3;
    }

    void skip_instruction() {
        require(end_ - at_ > 2 && is_name_start(at_[2]));
        require(!((at_[2] | 32) == 'x' && (at_[3] | 32) == 'm' && (at_[4] | 32) == 'l'));
        const char* name = at_ + 2;
        while (name < end_ && is_name_character(*name)) ++name;
        at_ = find("?>");
        require((name == at_ || is_space(*name)) && at_ - name < kLongestMark);
        at_ += 2;
    }

    std::string_view read_name(std::string_view& prefix) {
        const char* begin = at_;
        require(is_name_start(here()));
        while (is_name_character(here())) ++at_;
        prefix = {};
        if (*at_ == ':') {
            prefix = {begin, static_cast<size_t>(at_ - begin)};
            begin = ++at_;
            require(is_name_start(here()));
            while (is_name_character(here())) ++at_;
            require(*at_ != ':');
        }
        require(at_ - begin < kLongestName);
        return {begin, static_cast<size_t>(at_ - begin)};
    }

    void read_element() {
        const char* begin = at_;
        require(here() == '<');
        ++at_;
        std::string_view prefix;
        std::string_view name = read_name(prefix);
        const char* name_end = at_;
        bool has_namespace = read_attributes();
        std::string_view attributes(name_end, at_ - name_end);
        // A default namespace is expected of formulas alone.
        require(!has_namespace || name == "math" || in_namespace_);
        if (!prefix.empty()) require_declared(prefix);
        bool is_empty = here() == '/';
        if (is_empty) ++at_;
        require(here() == '>');
        ++at_;
        bool is_named = !in_namespace_ && !has_namespace && prefix.empty();
        // A formula is given to Python as it stands: nothing in it may be looked at here.
        require(!is_named || (name != "math" && !formula_));
        if (!skimmed_) add(is_named || name == "math" ? name : std::string_view(), attributes, begin, is_empty);
        if (is_empty) return;
        frames_.push_back({std::string_view(begin + 1, name_end - begin - 1), in_namespace_, scope_.size()});
        require(frames_.size() <= kDeepest);
        if (!skimmed_ && is_named && is_never_read(name)) skimmed_ = frames_.size();
        if (!formula_ && name == "math") formula_ = frames_.size();
        in_namespace_ = in_namespace_ || has_namespace;
        scope_.insert(scope_.end(), own_prefixes_.begin(), own_prefixes_.end());
    }

    void add(std::string_view name, std::string_view attributes, const char* begin, bool is_empty) {
        Element* element = tree_.make(name);
        element->attributes = attributes;
        element->source = {begin, static_cast<size_t>(at_ - begin)};
        if (open_)
            append_child(open_, element);
        else
            tree_.root_ = element;
        if (!is_empty) open_ = element;
    }

    // Checks the attributes and leaves the position at `/` or `>`; true if a default namespace is declared.
    bool read_attributes() {
        bool has_namespace = false;
        own_prefixes_.clear();
        names_.clear();
        used_.clear();
        while (true) {
            const char* before = at_;
            skip_space();
            if (here() == '>' || *at_ == '/') break;
            require(at_ > before);
            const char* begin = at_;
            std::string_view prefix;
            std::string_view name = read_name(prefix);
            std::string_view whole(begin, at_ - begin);
            for (std::string_view other : names_) require(other != whole);
            names_.push_back(whole);
            require(names_.size() <= kMostAttributes);
            skip_space();
            require(here() == '=');
            ++at_;
            skip_space();
            std::string_view value = read_value();
            if (prefix == "xmlns") {
                require(name != "xml" && name != "xmlns");
                declare(name, value);
            } else if (prefix.empty() && name == "xmlns") {
                require_address(value);
                has_namespace = true;
            } else if (!prefix.empty() && prefix != "xml")
                used_.push_back(prefix);
        }
        for (std::string_view prefix : used_) require_declared(prefix);
        return has_namespace;
    }

    // A prefix has one address in the whole document here, and an address one prefix: then no two names can be the same.
    void declare(std::string_view prefix, std::string_view address) {
        require_address(address);
        own_prefixes_.push_back(prefix);
        for (size_t i = 0; i < tree_.prefixes_.size(); ++i)
            if (tree_.prefixes_[i] == prefix || addresses_[i] == address) {
                require(tree_.prefixes_[i] == prefix && addresses_[i] == address);
                return;
            }
        tree_.prefixes_.push_back(prefix);
        addresses_.push_back(address);
        require(addresses_.size() <= kMostPrefixes);
    }

    void require_address(std::string_view address) const {
        require(!address.empty() && address.find_first_of("& \t\n") == std::string_view::npos);
        require(address.substr(0, 36) != "http://www.w3.org/XML/1998/namespace" && address.substr(0, 29) != "http://www.w3.org/2000/xmlns/");
    }

    void require_declared(std::string_view prefix) const {
        for (std::string_view known : own_prefixes_)
            if (known == prefix) return;
        for (std::string_view known : scope_)
            if (known == prefix) return;
        throw Unusual();
    }

    std::string_view read_value() {
        char quote = here();
        require(quote == '"' || quote == '\'');
        const char* begin = ++at_;
        while (here() != quote) {
            require(*at_ != '<');
            if (*at_ == '&') {
                decoded_.clear();
                read_reference(decoded_);
            } else
                ++at_;
        }
        std::string_view value(begin, at_ - begin);
        require(at_ - begin < kLongestMark);
        ++at_;
        return value;
    }

    // One of XML's five entities or a number; all others are the reference reader's.
    void read_reference(std::string& text) {
        if (auto [size, meant] = predefined_entity({at_, static_cast<size_t>(end_ - at_)}); size) {
            at_ += size;
            text.push_back(meant);
            return;
        }
        require(starts("&#"));
        at_ += 2;
        bool is_hexadecimal = here() == 'x';
        if (is_hexadecimal) ++at_;
        uint32_t point = 0;
        const char* begin = at_;
        for (; here() != ';'; ++at_) {
            int digit = *at_ >= '0' && *at_ <= '9' ? *at_ - '0' : (*at_ | 32) >= 'a' && (*at_ | 32) <= 'f' ? (*at_ | 32) - 87 : 99;
            require(digit < (is_hexadecimal ? 16 : 10));
            point = point * (is_hexadecimal ? 16 : 10) + digit;
            require(point <= 0x10ffff);
        }
        require(at_ > begin);
        ++at_;
        require(is_character(point));
        encode(point, text);
    }

    void read_content() {
        if (here() != '<') {
            read_text();
            return;
        }
        require(end_ - at_ > 1);
        if (at_[1] == '/')
            read_end();
        else if (starts("<!--"))
            skip_comment();
        else if (starts("<![CDATA[")) {
            at_ += 9;
            const char* close = find("]]>");
            add_text({at_, static_cast<size_t>(close - at_)});
            at_ = close + 3;
        } else if (at_[1] == '?')
            skip_instruction();
        else
            read_element();
    }

    void read_text() {
        const char* close = static_cast<const char*>(std::memchr(at_, '<', end_ - at_));
        require(close);
        std::string_view raw(at_, close - at_);
        if (raw.find(']') != std::string_view::npos) require(raw.find("]]>") == std::string_view::npos);
        if (!std::memchr(raw.data(), '&', raw.size())) {
            add_text(raw);
            at_ = close;
            return;
        }
        std::string& text = decoded_;
        text.clear();
        while (at_ < close) {
            const char* reference = static_cast<const char*>(std::memchr(at_, '&', close - at_));
            text.append(at_, (reference ? reference : close) - at_);
            if (!reference) break;
            at_ = reference;
            read_reference(text);
        }
        require(at_ <= close);
        if (!skimmed_) add_text(tree_.keep(text));
        at_ = close;
    }

    void add_text(std::string_view text) {
        if (skimmed_) return;
        std::string_view& place = open_->last ? open_->last->tail : open_->text;
        place = tree_.joined(place, text);
        require(place.size() < kLongestText);
    }

    void read_end() {
        const Frame& frame = frames_.back();
        at_ += 2;
        require(starts(frame.name));
        at_ += frame.name.size();
        skip_space();
        require(here() == '>');
        ++at_;
        in_namespace_ = frame.was_in_namespace;
        scope_.resize(frame.scope);
        if (skimmed_ == frames_.size()) skimmed_ = 0;
        if (formula_ == frames_.size()) formula_ = 0;
        frames_.pop_back();
        if (skimmed_) return;
        open_->source = {open_->source.data(), static_cast<size_t>(at_ - open_->source.data())};
        open_ = open_->parent;
    }

    struct Frame {
        std::string_view name;
        bool was_in_namespace;
        size_t scope;
    };

    Tree& tree_;
    const char* at_;
    const char* end_;
    Element* open_ = nullptr;
    size_t formula_ = 0;  // Depth of the formula that is open.
    size_t skimmed_ = 0;  // Depth of the element whose content is checked, but never read: half of most articles.
    bool in_namespace_ = false;
    std::vector<Frame> frames_;
    std::string decoded_;
    std::vector<std::string_view> scope_, own_prefixes_, addresses_, names_, used_;
};

Tree::Tree(std::string_view content, const std::vector<std::string_view>& never_read) : content_(content), never_read_(never_read) {
    Parser(*this).read();
}

}  // namespace megatron_bio
