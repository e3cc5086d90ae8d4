// White space closed up, and whether a text needs more to be clean; the compiled form of corpus/characters.clean_parts.
#pragma once

#include <string>
#include <string_view>

namespace megatron_bio {

// White space closed up; `is_usual` turns false if a character needs more, as far as the table `stable` knows: one byte for
// each code point, 1 for a printable one that NFC leaves alone. `spaces` counts those that are left. Throws Unusual for what is
// no UTF-8.
std::string closed_up(std::string_view part, std::string_view stable, bool& is_usual, size_t& spaces);

}  // namespace megatron_bio
