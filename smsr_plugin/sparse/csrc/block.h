// A block of a network with masks at tiles in one pass: 3x3 convolutions that read one another at active
// tiles, a narrow one at inactive tiles, and a product over what they give at every pixel.
//
// The image is cut into pieces. In each, the convolutions go down some rows of tiles at a time, each a step
// behind the one that it reads, and keep their last rows only, in rings of memory that stay in the cache.
// What a piece needs of its neighbours is computed there too. Pieces need nothing of each other, and each
// output is the same sum whatever the piece: results depend neither on their number nor on threads.
#pragma once

#include <vector>

#include "kernels.h"

namespace smsr {

// A list of tiles in order, and where each row of tiles begins in it.
struct TileList {
  const int32_t* tiles;
  std::vector<int> begin;      // one for each row, and the end
};

// Tiles [top, bottom) x [left, right) of the image.
struct Piece {
  int top, bottom, left, right;
};

struct Block {
  Geometry geometry;
  int itemsize;                // of a feature
  const void* x;               // features at every pixel
  int64_t x_line;              // elements from one line to the next
  std::vector<Tiles> convs;    // each reads what the one before stores, the first one x; `in`, `out`,
                               // `residual` and the list are told for each step
  bool adds_x;                 // the last one adds x
  TileList active, inactive;
  bool has_narrow;
  Tiles narrow;                // reads x at inactive tiles
  Blend blend;                 // of the last convolution at active pixels; of x, and what is narrow, elsewhere
  int hidden, seen, narrowed;  // channels that it takes of them
  bool attends;                // x is what `attend` gives, computed on the way
  Attend attend;
  Kernel<Tiles> tiles;
  Kernel<Blend> blend_kernel;
  Kernel<Attend> attend_kernel;
  int64_t kernel_floats;       // scratch memory of the kernels
  int step_tiles;              // with fewer tiles of a row their kernel is slow
  int besides;                 // what is no convolution takes as long as so many multiply-adds an output
  std::vector<Piece> pieces;
  int deep;                    // rows of tiles of a step; 1 where there are several pieces across
};

// Cuts a block into pieces for so many threads, each of which takes about as long as the others.
void cut(Block& block, int threads);

// Scratch memory of a thread, in floats.
int64_t block_floats(const Block& block);

// Computes pieces [first, last).
void compute(const Block& block, int first, int last, float* scratch);

}  // namespace smsr
