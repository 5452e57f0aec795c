// Which instruction sets were compiled in, which of them the processor has, which one is used.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace smsr {

// The kernels that the processor can run, slowest first.
const std::vector<const Kernels*>& available();

// The fastest of them, or the one that the environment variable SMSR_ISA names.
// Throws std::invalid_argument if it names none of them.
const Kernels& chosen();

}  // namespace smsr
