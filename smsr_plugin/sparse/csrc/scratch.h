// Memory of one thread, kept between calls.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(_WIN32)
#include <malloc.h>
#endif

#include "watch.h"

namespace smsr {

// Whole pages, or null. Not std::aligned_alloc, which Windows and macOS before 10.15 do not have.
inline void* pages(std::size_t bytes) {
#if defined(_WIN32)
  return _aligned_malloc(bytes, 4096);
#else
  void* data = nullptr;
  return posix_memalign(&data, 4096, bytes) == 0 ? data : nullptr;
#endif
}

inline void free_pages(void* data) {
#if defined(_WIN32)
  _aligned_free(data);
#else
  std::free(data);
#endif
}

class Scratch {
 public:
  ~Scratch() { free_pages(data_); }
  // Zeroed when it grows: what a kernel reads beyond the work at hand is finite.
  float* reserve(int64_t bytes) {
    if (bytes > size_ || !data_) {
      free_pages(data_);
      size_ = (bytes / 4096 + 1) * 4096;
      data_ = pages(size_);
      if (!data_) size_ = 0;
      if (data_) std::memset(data_, 0, size_);
    }
    if (data_) SMSR_WATCH_END(data_, bytes, size_);
    return static_cast<float*>(data_);
  }

 private:
  void* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace smsr
