#include "isa.h"

#include <cstdlib>
#include <stdexcept>

#include "target.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
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
namespace avx512_bf16 { extern const HalfKernels half; }
namespace amx { extern const HalfKernels half; extern const ByteKernels bytes; }
#endif
#if defined(SMSR_NEON_BF16)
namespace neon_bf16 { extern const HalfKernels half; }
#endif

namespace {

constexpr Kernels kBaseline = {"baseline", &baseline::kernels, nullptr, nullptr};

#if defined(__x86_64__)
constexpr Kernels kAvx2 = {"avx2", &avx2::kernels, nullptr, nullptr};
constexpr Kernels kAvx512 = {"avx512", &avx512::kernels, nullptr, nullptr};
constexpr Kernels kAvx512Bf16 = {"avx512_bf16", &avx512::kernels, &avx512_bf16::half, nullptr};
constexpr Kernels kAmx = {"amx", &avx512::kernels, &amx::half, &amx::bytes};

// What cpuid tells. __builtin_cpu_supports would do, but not every Clang comes with what it asks.
struct Leaf {
  unsigned a = 0, b = 0, c = 0, d = 0;
  Leaf(unsigned number, unsigned part) {
    if (!__get_cpuid_count(number, part, &a, &b, &c, &d)) a = b = c = d = 0;
  }
};

constexpr bool all_of(unsigned flags, unsigned wanted) { return (flags & wanted) == wanted; }
constexpr unsigned bit(int number) { return 1u << number; }

// The registers that the system saves when it gives the processor to another program.
unsigned saved_registers() {
  if (!all_of(Leaf(1, 0).c, bit(27))) return 0;  // there is no xgetbv
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// AVX2, FMA, BMI and BMI2, as isa_avx2.cpp is compiled for.
bool has_avx2() {
  constexpr unsigned fma = bit(12), avx = bit(28), bmi = bit(3), avx2 = bit(5), bmi2 = bit(8);
  return all_of(Leaf(1, 0).c, fma | avx) && all_of(Leaf(7, 0).b, bmi | avx2 | bmi2) &&
         all_of(saved_registers(), 0x06);
}

bool has_avx512() {
  constexpr unsigned f = bit(16), dq = bit(17), bw = bit(30), vl = bit(31);
  return all_of(Leaf(7, 0).b, f | dq | bw | vl) && all_of(saved_registers(), 0xe6);
}

bool has_avx512_bf16() { return all_of(Leaf(7, 1).a, bit(5)); }

// The processor has AMX with bfloat16 and bytes, the system saves its registers and lets this process use them.
bool has_amx() {
  if (!all_of(Leaf(7, 0).d, bit(22) | bit(24) | bit(25)) || !all_of(saved_registers(), 0x60000)) return false;
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

#if defined(SMSR_NEON_BF16)
constexpr Kernels kNeonBf16 = {"neon_bf16", &baseline::kernels, &neon_bf16::half, nullptr};

bool has_neon_bf16() {
#if defined(__linux__)
  constexpr unsigned long kBf16 = 1ul << 14;  // HWCAP2_BF16, which older headers do not have
  return getauxval(AT_HWCAP2) & kBf16;
#else
  return false;
#endif
}
#endif

std::vector<const Kernels*> found_on_this_processor() {
  std::vector<const Kernels*> found = {&kBaseline};
#if defined(__x86_64__)
  if (!has_avx2()) return found;
  found.push_back(&kAvx2);
  if (!has_avx512()) return found;
  found.push_back(&kAvx512);
  if (!has_avx512_bf16()) return found;
  found.push_back(&kAvx512Bf16);
  if (has_amx()) found.push_back(&kAmx);
#endif
#if defined(SMSR_NEON_BF16)
  if (has_neon_bf16()) found.push_back(&kNeonBf16);
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
