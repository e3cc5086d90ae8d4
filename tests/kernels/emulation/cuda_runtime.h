// CUDA on the host, for tests: the threads of a block are fibers of one thread, blocks run one after another.
//
// A fiber runs until it meets a barrier. Warps run one after another between the barriers of the block, and lanes between those
// of the warp (every shuffle is one), first to last or last to first (emulation_reversed): what a kernel computes must not depend
// on it, so most missing barriers show as a difference. A shuffle that only a part of a warp reaches ends the process with a
// message. All memory is the host's, so a tool that watches it finds accesses outside.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
    unsigned x, y, z;
};

using cudaStream_t = void*;
using cudaError_t = int;
constexpr int cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9;
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    std::size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
};

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

inline dim3 gridDim, blockDim;
inline uint3 blockIdx, threadIdx;

namespace emulation {

enum class Stop { none, warp, block, end };
constexpr int WARP = 32, MOST_THREADS = 1024;
constexpr std::size_t STACK = 128 * 1024;

// A context makes the stack; the jumps between stacks need no call of the kernel of the operating system.
struct Fiber {
    ucontext_t context;
    jmp_buf place;
    std::unique_ptr<char[]> stack;
    uint3 index;
    Stop stop = Stop::none;
};

struct Machine {
    jmp_buf scheduler;
    std::vector<Fiber> fibers;
    Fiber* running = nullptr;
    std::function<void()> kernel;
    std::uint64_t exchanged[MOST_THREADS];
    bool reversed = false;
};

inline Machine& machine() {
    static Machine the;
    return the;
}

[[noreturn]] inline void fail(const char* what) {
    std::fprintf(stderr, "emulated kernel, block (%u, %u): %s\n", blockIdx.x, blockIdx.y, what);
    std::abort();
}

inline unsigned number() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }

inline void pause(Stop stop) {
    Fiber* self = machine().running;
    self->stop = stop;
    if (_setjmp(self->place) == 0) _longjmp(machine().scheduler, 1);
}

// A fiber serves one thread after another.
inline void serve() {
    for (;;) {
        machine().kernel();
        pause(Stop::end);
    }
}

inline void resume(Fiber& fiber) {
    machine().running = &fiber;
    threadIdx = fiber.index;
    fiber.stop = Stop::none;
    if (_setjmp(machine().scheduler) != 0) return;
    if (fiber.stack) _longjmp(fiber.place, 1);
    fiber.stack.reset(new char[STACK]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, serve, 0);
    setcontext(&fiber.context);
}

// Run the lanes first.. of a warp until all wait for the block or have ended; return which.
inline Stop run_warp(std::size_t first, std::size_t last) {
    auto& fibers = machine().fibers;
    for (;;) {
        bool warp = false, block = false, end = false;
        for (std::size_t i = first; i < last; ++i) {
            Fiber& fiber = fibers[machine().reversed ? last - 1 - (i - first) : i];
            if (fiber.stop != Stop::end) resume(fiber);
            warp |= fiber.stop == Stop::warp, block |= fiber.stop == Stop::block, end |= fiber.stop == Stop::end;
        }
        if (warp && (block || end)) fail("a shuffle that only a part of the warp reaches");
        // Threads that have ended do not count at a barrier of the block, as on the device.
        if (!warp) return block ? Stop::block : Stop::end;
    }
}

inline void run_block(std::size_t threads) {
    auto& fibers = machine().fibers;
    for (std::size_t i = 0; i < threads; ++i) {
        Fiber& fiber = fibers[i];
        fiber.index = {static_cast<unsigned>(i % blockDim.x), static_cast<unsigned>(i / blockDim.x % blockDim.y),
                       static_cast<unsigned>(i / blockDim.x / blockDim.y)};
        fiber.stop = Stop::none;
    }
    const std::size_t warps = (threads + WARP - 1) / WARP;
    for (bool waiting = true; waiting;) {
        waiting = false;
        for (std::size_t w = 0; w < warps; ++w) {
            const std::size_t warp = machine().reversed ? warps - 1 - w : w;
            const std::size_t last = std::min((warp + 1) * WARP, threads);
            bool ended = true;
            for (std::size_t i = warp * WARP; i < last; ++i) ended &= fibers[i].stop == Stop::end;
            if (!ended) waiting |= run_warp(warp * WARP, last) == Stop::block;
        }
    }
}

template <typename T>
T shuffle_xor(T value, int distance) {
    static_assert(sizeof(T) <= 8);
    auto& exchanged = machine().exchanged;
    const unsigned self = number();
    std::memcpy(&exchanged[self], &value, sizeof(T));
    pause(Stop::warp);
    std::memcpy(&value, &exchanged[self ^ static_cast<unsigned>(distance)], sizeof(T));
    pause(Stop::warp);
    return value;
}

inline unsigned ballot(bool here) {
    auto& exchanged = machine().exchanged;
    const unsigned self = number(), first = self / WARP * WARP;
    exchanged[self] = here;
    pause(Stop::warp);
    unsigned all = 0;
    for (unsigned lane = 0; lane < WARP; ++lane) all |= static_cast<unsigned>(exchanged[first + lane]) << lane;
    pause(Stop::warp);
    return all;
}

inline void require_whole_warp(unsigned mask) {
    if (mask != 0xffffffffu || blockDim.x * blockDim.y % WARP) fail("a shuffle of a partial warp");
}

}  // namespace emulation

inline void __syncthreads() { emulation::pause(emulation::Stop::block); }

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
    emulation::require_whole_warp(mask);
    return emulation::shuffle_xor(value, distance);
}

inline unsigned __ballot_sync(unsigned mask, bool here) {
    emulation::require_whole_warp(mask);
    return emulation::ballot(here);
}

inline int __ffs(int bits) { return __builtin_ffs(bits); }

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments... arguments) {
    auto& machine = emulation::machine();
    gridDim = config->gridDim, blockDim = config->blockDim;
    const std::size_t threads = static_cast<std::size_t>(blockDim.x) * blockDim.y * blockDim.z;
    if (threads < 1 || threads > emulation::MOST_THREADS || gridDim.x < 1 || gridDim.x > 0x7fffffffu || gridDim.y < 1 ||
        gridDim.y > 65535 || gridDim.z != 1)
        return cudaErrorInvalidConfiguration;
    if (machine.fibers.size() < threads) machine.fibers.resize(threads);
    machine.kernel = [=] { kernel(static_cast<Parameters>(arguments)...); };
    for (unsigned y = 0; y < gridDim.y; ++y)
        for (unsigned x = 0; x < gridDim.x; ++x) {
            blockIdx = {x, y, 0};
            emulation::run_block(threads);
        }
    return cudaSuccess;
}
