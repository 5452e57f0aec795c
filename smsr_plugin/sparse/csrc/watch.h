// Tells the sanitizers of scripts/sanitize.sh what they do not see; nothing in other builds.
//
// AddressSanitizer does not see tile and masked instructions, ThreadSanitizer none of more than 16
// bytes, and neither of them that scratch memory is longer than what was asked for.
#pragma once

#include <cstddef>

#if !defined(__has_feature)
#define __has_feature(name) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)

extern "C" void __asan_loadN(const void*, std::size_t);
extern "C" void __asan_storeN(void*, std::size_t);
extern "C" void __asan_poison_memory_region(const volatile void*, std::size_t);
extern "C" void __asan_unpoison_memory_region(const volatile void*, std::size_t);
#define SMSR_WATCH_READ(at, bytes) __asan_loadN(at, bytes)
#define SMSR_WATCH_WRITE(at, bytes) __asan_storeN(at, bytes)
// Of `size` bytes of memory only the first `used` may be touched from now on.
#define SMSR_WATCH_END(memory, used, size)      \
  (__asan_poison_memory_region(memory, size),   \
   __asan_unpoison_memory_region(memory, used))

#elif defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)

extern "C" void __tsan_read_range(const void*, std::size_t);
extern "C" void __tsan_write_range(void*, std::size_t);
#define SMSR_WATCH_READ(at, bytes) __tsan_read_range(at, bytes)
#define SMSR_WATCH_WRITE(at, bytes) __tsan_write_range(at, bytes)
#define SMSR_WATCH_END(memory, used, size) (void)0

#else

#define SMSR_WATCH_READ(at, bytes) ((void)(at), (void)(bytes))
#define SMSR_WATCH_WRITE(at, bytes) ((void)(at), (void)(bytes))
#define SMSR_WATCH_END(memory, used, size) (void)0

#endif
