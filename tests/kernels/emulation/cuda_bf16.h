// bfloat16 on the host, rounded to nearest even, as on the device.
#pragma once

#include <cstdint>
#include <cstring>

struct __nv_bfloat16 {
    std::uint16_t bits = 0;
    __nv_bfloat16() = default;
    explicit __nv_bfloat16(float value) {
        std::uint32_t word;
        std::memcpy(&word, &value, 4);
        const bool nan = (word & 0x7fffffffu) > 0x7f800000u;
        bits = nan ? 0x7fff : static_cast<std::uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);
    }
    explicit operator float() const {
        const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
        float value;
        std::memcpy(&value, &word, 4);
        return value;
    }
};
