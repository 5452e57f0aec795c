#include "parallel.h"

#include <pthread.h>
#if defined(_OPENMP)
#include <omp.h>
#endif

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "watch.h"

namespace smsr {

namespace {

std::atomic<bool> forked{false};

const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });

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

thread_local Scratch scratch_of_thread;

constexpr int kPiecesPerThread = 8;  // enough for threads that are held up to be helped

// More threads would only wait for each other, and could be more than the system can start.
int processors() {
#if defined(_OPENMP)
  return omp_get_num_procs();
#else
  return 1;
#endif
}

}  // namespace

void parallel_for(int items, int grain, int threads, int64_t bytes,
                  void (*body)(const void*, int, int, float*), const void* context) {
  (void)registered;
  if (threads > processors()) threads = processors();
  // Neighbouring items read the same rows: the larger the pieces, the less is read twice.
  const int fair = items / (threads * kPiecesPerThread);
  if (grain < fair) grain = fair;
  const int pieces = (items + grain - 1) / grain;
  if (threads > pieces) threads = pieces;
  if (forked || threads <= 1) {
    float* const scratch = scratch_of_thread.reserve(bytes);
    if (!scratch) throw std::bad_alloc();
    body(context, 0, items, scratch);
    return;
  }
  // No exception may leave a parallel region.
  std::atomic<bool> failed{false};
#pragma omp parallel num_threads(threads)
  {
    float* const scratch = scratch_of_thread.reserve(bytes);
    if (!scratch) failed = true;
#pragma omp for schedule(dynamic, 1)
    for (int piece = 0; piece < pieces; ++piece) {
      const int first = piece * grain, last = items - first < grain ? items : first + grain;
      try {
        if (scratch) body(context, first, last, scratch);
      } catch (const std::bad_alloc&) {
        failed = true;
      }
    }
  }
  if (failed) throw std::bad_alloc();
}

}  // namespace smsr
