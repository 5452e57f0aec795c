// From mask logits to the pixels and tiles that have to be computed.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels.h"

namespace smsr {

// The last layer of the mask predictor, a transposed 3x3 convolution of stride 2 to one channel:
// `products` is a plane of half the size (rounded up) whose first 9 channels are the products of a pixel
// with the kernel's taps; `activity` becomes kActive where their sum plus `bias` exceeds `threshold`,
// kInactive elsewhere in the image. The border of `activity` is not touched.
void decide(const Geometry& geometry, const float* products, float bias, float threshold,
            uint8_t* activity, int threads);

struct List {
  explicit List(int64_t count) : data(new int32_t[count]), size(count) {}
  std::unique_ptr<int32_t[]> data;
  int64_t size;
};

struct Lists {
  List active, inactive;              // pixels
  List active_tiles, inactive_tiles;  // tiles with such a pixel; with both, in both
};

// The ascending lists of what `activity` marks.
Lists list(const Geometry& geometry, const uint8_t* activity, int threads);

}  // namespace smsr
