// Memory of one thread, kept between calls.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "watch.h"

namespace smsr {

class Scratch {
 public:
  ~Scratch() { std::free(data_); }
  // Zeroed when it grows: what a kernel reads beyond the work at hand is finite.
  float* reserve(int64_t bytes) {
    if (bytes > size_ || !data_) {
      std::free(data_);
      size_ = (bytes / 4096 + 1) * 4096;
      data_ = std::aligned_alloc(4096, size_);
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
