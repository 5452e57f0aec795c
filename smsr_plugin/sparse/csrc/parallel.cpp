#include "parallel.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

#include <atomic>
#include <new>
#include <thread>

#include "scratch.h"
#include "team.h"

namespace smsr {

namespace {

std::atomic<bool> forked{false};

#if defined(_WIN32)
const int registered = 0;  // processes are not forked there
#else
const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif

thread_local Scratch scratch_of_thread;  // of a thread that calls; those of the team have their own

constexpr int kPiecesPerThread = 8;  // enough for threads that are held up to be helped

// More threads would only wait for each other, and could be more than the system can start.
int processors() {
#if defined(__linux__)
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) == 0) return CPU_COUNT(&usable);
#endif
  const int count = std::thread::hardware_concurrency();
  return count > 0 ? count : 1;
}

// Never destroyed: its threads use it until the process ends.
Team& team() {
  static Team* const only = new Team;
  return *only;
}

// A loop, of which each thread takes the next piece until there is none.
struct Loop {
  int items, grain, pieces;
  int64_t bytes;
  void (*body)(const void*, int, int, float*);
  const void* context;
  std::atomic<int> next{0};
  std::atomic<bool> failed{false};

  // No exception may leave a thread of the team.
  void work(Scratch& memory) noexcept {
    float* scratch = nullptr;
    for (;;) {
      const int piece = next++;
      if (piece >= pieces) return;
      if (!scratch) scratch = memory.reserve(bytes);
      if (!scratch) {
        failed = true;
        return;
      }
      const int first = piece * grain, last = items - first < grain ? items : first + grain;
      try {
        body(context, first, last, scratch);
      } catch (const std::bad_alloc&) {
        failed = true;
      }
    }
  }
};

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
  Loop loop{items, grain, pieces, bytes, body, context};
  team().help(
      threads - 1,
      [](void* given, Scratch& scratch) { static_cast<Loop*>(given)->work(scratch); }, &loop,
      scratch_of_thread);
  if (loop.failed) throw std::bad_alloc();
}

}  // namespace smsr
