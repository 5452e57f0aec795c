#include "isa.h"

#include <cstdlib>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace smsr {

namespace baseline { extern const FloatKernels kernels; }
#if defined(__x86_64__)
namespace avx2 { extern const FloatKernels kernels; }
namespace avx512 { extern const FloatKernels kernels; }
namespace avx512_bf16 {
extern const MixedKernels mixed;
extern const HalfTileKernels half_tiles;
void half_rows(const HalfRows&, int, int, float*);
}
namespace amx { void half_rows(const HalfRows&, int, int, float*); }
#endif

namespace {

constexpr Kernels kBaseline = {"baseline", &baseline::kernels, nullptr, nullptr, nullptr};

#if defined(__x86_64__)
constexpr Kernels kAvx2 = {"avx2", &avx2::kernels, nullptr, nullptr, nullptr};
constexpr Kernels kAvx512 = {"avx512", &avx512::kernels, nullptr, nullptr, nullptr};
constexpr Kernels kAvx512Bf16 = {"avx512_bf16", &avx512::kernels, &avx512_bf16::mixed,
                                 &avx512_bf16::half_tiles, avx512_bf16::half_rows};
constexpr Kernels kAmx = {"amx", &avx512::kernels, &avx512_bf16::mixed, &avx512_bf16::half_tiles,
                          amx::half_rows};

bool has_avx512_bf16() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}

// The processor has AMX with bfloat16, the system saves its registers and lets this process use them.
bool has_amx() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1)) return false;
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low >> 17 & 3) != 3) return false;
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

std::vector<const Kernels*> found_on_this_processor() {
  std::vector<const Kernels*> found = {&kBaseline};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return found;
  found.push_back(&kAvx2);
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return found;
  found.push_back(&kAvx512);
  if (!has_avx512_bf16()) return found;
  found.push_back(&kAvx512Bf16);
  if (has_amx()) found.push_back(&kAmx);
#endif
  return found;
}

}  // namespace

const std::vector<const Kernels*>& available() {
  static const std::vector<const Kernels*> found = found_on_this_processor();
  return found;
}

const Kernels& chosen() {
  const char* const wanted = std::getenv("SMSR_ISA");
  if (!wanted || !*wanted) return *available().back();
  std::string names;
  for (const Kernels* kernels : available()) {
    if (kernels->name == std::string(wanted)) return *kernels;
    names += std::string(names.empty() ? "" : ", ") + kernels->name;
  }
  throw std::invalid_argument("SMSR_ISA is \"" + std::string(wanted) +
                              "\"; this processor runs: " + names);
}

}  // namespace smsr
