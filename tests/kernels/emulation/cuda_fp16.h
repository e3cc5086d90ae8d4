// float16 on the host: the compiler's own type, rounded to nearest even, as on the device.
#pragma once

struct __half {
    _Float16 value = 0;
    __half() = default;
    explicit __half(float from) : value(static_cast<_Float16>(from)) {}
    explicit operator float() const { return static_cast<float>(value); }
};
