#include "team.h"

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#endif

#include <chrono>
#include <new>
#include <system_error>
#include <thread>

namespace smsr {

namespace {

// How long to watch before sleeping. Between the loops of a run lie some ten microseconds, and
// waking takes about fifty; watching gives the core to whoever else wants it.
constexpr auto kWatch = std::chrono::microseconds(200);
constexpr int kLooks = 64;  // without giving the core away, a microsecond or two

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Whether `ready` became true before it is time to sleep.
template <typename Ready>
bool watch(Ready ready) {
  for (int look = 0; look < kLooks; ++look) {
    if (ready()) return true;
    relax();
  }
  const auto end = std::chrono::steady_clock::now() + kWatch;
  do {
    std::this_thread::yield();
    if (ready()) return true;
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// While one lives, threads are started that no signal is delivered to: signals are for the threads of
// the program, which a call of the system waits in.
class WithoutSignals {
#if !defined(_WIN32)
 public:
  WithoutSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~WithoutSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
#endif
};

}  // namespace

void Team::help(int helpers, Work work, void* context, Scratch& own) {
  std::unique_lock<std::mutex> asking(asking_, std::try_to_lock);
  if (asking && size_ < helpers) start(helpers);
  if (!asking || size_ == 0) return work(context, own);
  work_ = work;
  context_ = context;
  seats_ = helpers;
  open_ = true;
  ++calls_;
  if (sleeping_ > 0) {
    const std::lock_guard<std::mutex> lock(sleep_);
    more_.notify_all();
  }
  work(context, own);
  open_ = false;
  wait_for_helpers();
}

void Team::start(int helpers) {
  try {
    [[maybe_unused]] const WithoutSignals quiet;
    for (; size_ < helpers; ++size_) std::thread(&Team::serve, this, calls_.load()).detach();
  } catch (const std::system_error&) {
    // The system has no more threads: those that there are help.
  }
  std::unique_lock<std::mutex> lock(sleep_);
  done_.wait(lock, [&] { return ready_ == size_; });
}

// What the system gives a thread only when it first asks, and ends the process over where memory is
// short: its heap, and room for an exception.
void Team::prepare() {
  try {
    throw std::bad_alloc();
  } catch (const std::bad_alloc&) {
  }
  const std::lock_guard<std::mutex> lock(sleep_);
  ++ready_;
  done_.notify_one();
}

void Team::serve(uint64_t seen) {
  Scratch scratch;
  prepare();
  for (;;) {
    seen = wait_for_more(seen);
    // First inside, then a look whether it is open: who closes and then sees nobody inside knows
    // that whoever comes later will see it closed.
    ++inside_;
    if (open_ && seats_-- > 0) work_(context_, scratch);
    leave();
  }
}

uint64_t Team::wait_for_more(uint64_t seen) {
  if (!watch([&] { return calls_ != seen; })) {
    std::unique_lock<std::mutex> lock(sleep_);
    ++sleeping_;
    more_.wait(lock, [&] { return calls_ != seen; });
    --sleeping_;
  }
  return calls_;
}

void Team::leave() {
  if (--inside_ == 0 && asleep_) {
    const std::lock_guard<std::mutex> lock(sleep_);
    done_.notify_one();
  }
}

void Team::wait_for_helpers() {
  if (watch([&] { return inside_ == 0; })) return;
  std::unique_lock<std::mutex> lock(sleep_);
  asleep_ = true;
  done_.wait(lock, [&] { return inside_ == 0; });
  asleep_ = false;
}

}  // namespace smsr
