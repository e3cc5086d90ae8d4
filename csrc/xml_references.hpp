#pragma once

#include <string_view>
#include <utility>

namespace megatron_bio {

// One of XML's five entities at the beginning of `text`: its length and its character; 0 for anything else.
inline std::pair<size_t, char> predefined_entity(std::string_view text) {
    for (auto [written, meant] : {std::pair<std::string_view, char>{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'},
                                  {"&apos;", '\''}})
        if (text.substr(0, written.size()) == written) return {written.size(), meant};
    return {0, 0};
}

}  // namespace megatron_bio
