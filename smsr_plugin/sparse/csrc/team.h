// Threads that stay for the whole process and help whoever asks.
//
// OpenMP's teams wait at the end of each loop for all of their threads, also for one that another
// process keeps from its core, and while they wait they occupy a core: beside other processes a run
// takes many times as long. Here the one who asks works through the whole loop itself; others help
// where they come in time, and only pieces that one of them has begun are waited for.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "scratch.h"

namespace smsr {

class Team {
 public:
  using Work = void (*)(void* context, Scratch& scratch);

  // Calls work(context, own) in the calling thread and, at the same time, work with a scratch of
  // theirs in up to `helpers` threads of the team; returns when all calls have returned. A call must
  // do what is left to do, which may be nothing, and not throw. If the team is busy for another
  // thread, or no thread can be started, nobody helps.
  void help(int helpers, Work work, void* context, Scratch& own);

 private:
  void start(int helpers);
  void prepare();
  void serve(uint64_t seen);
  uint64_t wait_for_more(uint64_t seen);
  void leave();
  void wait_for_helpers();

  std::mutex asking_;  // held by the thread that is helped
  int size_ = 0;       // threads that were started
  int ready_ = 0;      // of them, those that have what they need; guarded by sleep_

  // What there is to do, which changes only while it is closed and no helper is inside.
  Work work_ = nullptr;
  void* context_ = nullptr;
  std::atomic<int> seats_{0};
  std::atomic<bool> open_{false};
  alignas(64) std::atomic<int> inside_{0};  // helpers that work or look whether they may
  alignas(64) std::atomic<uint64_t> calls_{0};

  std::mutex sleep_;
  std::condition_variable more_, done_;
  std::atomic<int> sleeping_{0};
  std::atomic<bool> asleep_{false};  // the thread that is helped waits for the last helper
};

}  // namespace smsr
