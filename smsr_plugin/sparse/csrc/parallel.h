// Work items over threads, each with scratch memory of its own that is kept between calls.
#pragma once

#include <cstdint>

namespace smsr {


// Calls body(context, first, last, scratch) until the items 0 ... items - 1 are done, at most `grain`
// of them at a time, on up to `threads` threads (one in a forked child, where the team's threads
// are gone). `scratch` has at least `bytes` bytes, aligned to a cache line. Throws std::bad_alloc.
void parallel_for(int items, int grain, int threads, int64_t bytes,
                  void (*body)(const void* context, int first, int last, float* scratch),
                  const void* context);

}  // namespace smsr
