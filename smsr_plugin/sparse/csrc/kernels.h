// What a kernel computes: parameter blocks and the table of one instruction set's kernels.
//
// A plane holds the features of one image. Its channels are cut into lines, each of which fills a
// cache line and is an image of its own: (lines, rows, stride, channels of a line), so that the
// channels that exist everywhere lie close together, whatever becomes of the others. A line holds 16
// channels of float32, 32 of bfloat16 or 64 of bytes. The image lies inside a border of zeros: height is rounded up
// to whole tiles and width to whole runs, then one pixel is added on every side.
// A pixel is named by its index in that padded plane, so that its neighbours are at fixed offsets.
// Lists of pixels and tiles name each of them once: several threads may write at the same time.
#pragma once

#include <cstdint>

namespace smsr {

constexpr int kTile = 4;              // pixels of a tile's side: Winograd F(4x4, 3x3)
constexpr int kPatch = kTile + 2;     // that read patches of 6x6
constexpr int kFrequencies = kPatch * kPatch;
constexpr int kCacheLine = 64;        // bytes
constexpr int kLine = 16;             // fp32 channels to a cache line; channel counts are padded to it
constexpr int kHalfLine = 32;         // bfloat16 channels to a cache line
constexpr int kRun = 16;              // pixels of a row to a matrix tile; widths are rounded up to it
constexpr int kTileBlock = 12;        // tiles of one work item: transforms and weights stay in L2
constexpr int kRowBlock = 48;         // pixels of one work item
constexpr int kMatrixBlock = 96;      // the same where products are of matrix tiles
constexpr int kBlendPixels = 64;      // pixels of one side of a blend that matrix tiles multiply in turn
constexpr int kMaxRows = 32;          // pixels that are multiplied together
constexpr int kMaxChannels = 1024;    // so that what a thread works on stays small

inline int64_t rounded_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

enum Activity : uint8_t { kOutside = 0, kInactive = 1, kActive = 2 };

struct Geometry {
  int height, width;  // of the image
  int tile_rows() const { return (height + kTile - 1) / kTile; }
  int tile_cols() const { return (width + kTile - 1) / kTile; }
  int64_t stride() const { return rounded_up(width, kRun) + 2; }
  int64_t pixels() const { return stride() * (int64_t(tile_rows()) * kTile + 2); }
  int64_t index(int y, int x) const { return (y + 1) * stride() + x + 1; }
};

using Half = uint16_t;  // the bits of a bfloat16
using Byte = uint8_t;   // a level of a feature: so many of a unit of its plane
using Signed = int8_t;  // one of either sign, in -127 ... 127

// Where channel c of a pixel lies in a plane whose lines are `line` floats apart.
inline int64_t channel_at(int c, int64_t line) { return c / kLine * line + c % kLine; }

// Channels of a line.
template <class Element>
constexpr int kLineOf = kCacheLine / int(sizeof(Element));

// The same in a plane whose lines are `line` elements apart.
template <class Element>
inline int64_t channel_at(int c, int64_t line) {
  return c / kLineOf<Element> * line + c % kLineOf<Element>;
}

// What becomes of an output row: act(value + bias + residual), or act(value + bias) + residual. In
// bfloat16 and in bytes whole lines are stored: beyond the outputs the last one is zero.
struct Store {
  void* out;                   // floats, bfloat16, or bytes: to the nearest level in 0 ... 255
  int64_t line;                // elements from one line to the next
  const float* unit;           // of each output, what a sum of levels counts; or null
  const float* bias;           // or null
  const void* residual;        // plane to add, of the kind of `out`, or null
  int64_t residual_line;
  bool residual_last;          // it is added after the activation
  bool relu;
  float slope;                 // of the ReLU below zero: leaky unless 0
  const float* slopes;         // one for each output in place of it, or null
  bool streams;                // past the cache: whoever reads a large plane next comes too late
  double* sums;                // [work items][n]: channel sums of what was stored, or null
};

// 3x3 convolution of a plane at a list of tiles.
struct Tiles {
  Geometry geometry;
  const int32_t* tiles;
  int count;
  const void* in;              // floats, bfloat16, bytes or signed bytes
  int64_t in_line;
  int k;                       // input channels, multiple of kLine
  int k_dense;                 // lines up to this channel are valid at every pixel,
  const uint8_t* activity_in;  // the others only where the pixel is not kInactive; or null
  const void* rest;            // what is read of the others there, k of the kind of `in`; null: zeros
  const void* weights;         // [36][n / 16][k][16] floats, or [36][n / 16][k / 2][16][2] bfloat16,
                               // of each whole line even channels first, then odd ones; or taps
  int n;                       // output channels, multiple of kLine
  int n_pooled;                // of the n outputs the first ones, multiple of kLine: their means of
  void* pooled;                // 2x2 pixels go to a plane of half the size, rounded up, in bfloat16
  int64_t pooled_line;         // unless `out` holds floats, and without residual
  const uint8_t* activity_out; // of the others store only pixels whose activity is `stored`; or null:
  uint8_t stored;              // all
  Store store;
};

// One term of a sum of products over the rows of a list of pixels.
struct Source {
  const void* base;            // floats, bfloat16, bytes or signed bytes, as the weights
  int64_t line;                // elements from one line to the next
  int64_t offset;              // pixels from the output pixel to the input pixel
  int k;                       // input channels
  const uint8_t* activity;     // where not kActive, read zeros; or null
};

// out[p] = act(scale (bias + sum over sources of row(p + offset) W) + residual[p]) at a list of pixels.
struct Rows {
  const int32_t* pixels;
  int count;
  int block;                   // pixels of a work item
  const Source* sources;
  int num_sources;
  const void* weights;         // [n / 16][sum of k][16] floats, or in bfloat16 [n / 16][pairs][16][2],
  int n;                       // where each source's k is rounded up to whole pairs, or lines
  const float* scale;          // of each output, or null
  Store store;
  // A second product over the finished row, accumulated in a plane of its own: act(acc + out W2), or
  // act(acc + residual W1 + out W2), which saves a pass where the residual's share was left out.
  const void* chain_weights;   // [chain_n / 16][n or 2 n][16], W1 first, or in pairs; or null
  bool chain_residual;
  const float* chain_bias;     // starts the accumulation; null adds to what is there
  void* chain_out;             // of the kind of `out`
  int64_t chain_line;
  int chain_n;
  bool chain_relu;
  bool chain_streams;          // as in Store
  // The finished row once more, in levels; only where products are of matrix tiles and `out` is bfloat16.
  Signed* levels;              // or null
  int64_t levels_line;
  float levels_of_one;         // how many of them are 1
  bool levels_stream;          // as in Store

  // Whether finished rows are kept until all of an item are, and stored then.
  bool keeps() const { return chain_weights || levels; }
};

// The 3x3 convolution of the image, with zeros around it, at every pixel.
struct ImageConv {
  Geometry geometry;
  const float* lq;             // (channels, height, width)
  int channels;
  bool has_ones;               // a last channel that is 1 in the image and 0 around it
  const float* weights;        // [n / 16][9][channels, and ones][16]
  int n;                       // output channels, multiple of kLine
  Store store;                 // without residual and sums
};

// Floats from one row to the next: a pixel on either side, and what a group of pixels reads beyond.
inline int64_t image_stride(int width) { return rounded_up(width, kMaxRows) + kMaxRows; }
inline int64_t image_room(const ImageConv& p) {
  return 3 * (int64_t(p.channels) + p.has_ones) * image_stride(p.geometry.width);
}

// The pixel-shuffled residual, plus the enlarged image.
struct Compose {
  Geometry geometry;
  const float* lq;             // (channels, height, width)
  float* sr;                   // (channels, height * scale, width * scale)
  const float* residual;       // plane, channel (c * scale + i) * scale + j
  int64_t residual_line;
  int channels, scale;
  const float* taps;           // [scale][5]: weights of x - 2 ... x + 2 for each phase; null: no image
};

// 3x3 convolution of stride 2: output (y, x) sees the input from (2y - padding, 2x - padding) on.
struct Strided {
  Geometry in_geometry, out_geometry;
  const void* in;              // floats or bfloat16, from the first channel that is seen
  int64_t in_line;             // elements from one line to the next
  int k;                       // input channels
  const void* weights;         // [n / 16][9 k][16] floats, or [n / 16][9 k / 2][16][2] bfloat16; with
                               // matrix tiles k is whole lines, from the beginning of one
  int n;                       // output channels, multiple of kLine
  int padding;                 // 0 or 1
  const float* bias;           // or null
  float* out;
  int64_t out_line;
  bool relu;
};

// Largest values of squares of pixels: out(y, x) is of the square from (y step, x step) on.
struct Maximum {
  Geometry in_geometry, out_geometry;
  const float* in;
  int64_t in_line;
  float* out;
  int64_t out_line;
  int lines;
  int side, step;
};

// How a side of a map is resampled linearly: output i is low[i] + share[i] (high[i] - low[i]).
struct Resampling {
  const int32_t* low;
  const int32_t* high;
  const float* share;
};

// out[p] = x[p] / (1 + 2^gate[p]), gate = row(p) W + the coarse plane, resampled, at every pixel.
struct Attend {
  Geometry geometry, coarse_geometry;
  const void* x;               // floats or bfloat16, as row and out are
  int64_t x_line;
  const void* row;             // from the first channel that is seen
  int64_t row_line;
  int k;                       // channels of row
  const void* weights;         // [n / 16][k][16] floats, or [n / 16][k / 2][16][2] bfloat16
  int n;                       // multiple of kLine; in bfloat16 the last line may be zero beyond it
  const float* coarse;         // n channels
  int64_t coarse_line;
  Resampling down, across;     // rows, columns
  void* out;
  int64_t out_line;
  bool streams;                // as in Store
  int left, right;             // columns that are computed
};

// What `Blend` computes at pixels of one kind.
struct BlendSide {
  const Source* sources;       // at the pixel itself, without activity
  int num_sources;
  int depth;                   // sum of k, each in bfloat16 rounded up to whole pairs
  const void* weights;         // as of Rows
  const float* bias;
};

// out[p] = bias + sum over sources of row(p) W: one such product at active pixels, another elsewhere.
struct Blend {
  Geometry geometry;
  const uint8_t* activity;
  BlendSide active, inactive;
  int n;                       // output channels, multiple of kLine; in bfloat16 as in Store
  void* out;                   // of the kind of the sources
  int64_t out_line;
  bool streams;                // as in Store
  int left, right;             // columns that are computed
};

// What mask predictors see of an image, as channels of a plane: log(1 + levels d) where d is how far a
// channel lies from its mean over 3x3 and over 7x7 pixels, and the largest |d/dx| + |d/dy| of the
// channels' mean within 5x5 pixels. Windows end at the image's edge.
struct Details {
  Geometry geometry;
  const float* lq;             // (channels, height, width)
  int channels;
  float levels;
  float* out;                  // 2 channels + 1
  int64_t out_line;
};

// Rows that are worked on at once, whole lines with one around them: seven, and one for each output.
inline int64_t details_room(int width) { return (int64_t(width) + kLine - 1) / kLine * kLine + 2 * kLine; }
inline int64_t details_floats(const Details& p) {
  return (7 + 2 * int64_t(p.channels) + 1) * details_room(p.geometry.width);
}

// Elements from one frequency of a work item to the next, with `channels` channels to a tile. The line
// more makes the 36 lines that a transform writes fall into different sets of the cache.
template <class Element>
inline int64_t frequency_stride(int channels) {
  return int64_t(kTileBlock) * channels + kLineOf<Element>;
}

// Each computes work items [first, last) of its operation on one thread.
template <class Operation>
using Kernel = void (*)(const Operation&, int first, int last, float* scratch);

struct FloatKernels {
  Kernel<Tiles> tiles;
  Kernel<Rows> rows;
  Kernel<ImageConv> image;
  Kernel<Compose> compose;
  Kernel<Strided> strided;
  Kernel<Maximum> maximum;
  Kernel<Attend> attend;
  Kernel<Blend> blend;
  Kernel<Details> details;
};

// Of features in bfloat16, whose products are summed in float32.
struct HalfKernels {
  Kernel<Tiles> tiles, tiles_to_floats;
  Kernel<Tiles> wide_tiles;     // products in float32, stored in float32
  Kernel<Rows> rows, rows_to_floats;
  Kernel<ImageConv> image;     // products in float32, stored in bfloat16
  Kernel<Strided> strided;      // of masks at tiles; stores floats
  Kernel<Attend> attend;
  Kernel<Blend> blend;
  // Whether products are of matrix tiles: of the weights in bfloat16 inputs come in whole lines, and
  // those of tiles are taps, [n / 16][9][k / 32][16 pairs][16][2]. Channels of a line that are not seen
  // have weights of zero, and must be finite.
  bool matrix;
};

// Of features in bytes, whose products are those of matrix tiles, with weights in -127 ... 127, summed in
// integers. Weights are as those of matrix tiles in bfloat16, but of four inputs: of rows
// [n / 16][quads][16][4], of tiles taps, [n / 16][9][k / 64][16 quads][16][4]. Inputs come in whole lines.
struct ByteKernels {
  Kernel<Tiles> tiles;
  Kernel<Tiles> tiles_from_half;    // products in bfloat16, stored in bytes
  Kernel<Tiles> tiles_from_signed;
  Kernel<Tiles> signed_to_half;
  Kernel<Rows> rows;
  Kernel<Rows> rows_from_half;
  Kernel<Rows> rows_from_signed;
  Kernel<Rows> rows_to_half;
};

// The kernels that one instruction set runs.
struct Kernels {
  const char* name;
  const FloatKernels* floats;
  const HalfKernels* half;     // or null
  const ByteKernels* bytes;    // or null
};

}  // namespace smsr
