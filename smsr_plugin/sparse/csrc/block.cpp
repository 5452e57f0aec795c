#include "block.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace smsr {

namespace {

constexpr int64_t kPieceBytes = 4 << 20;            // that the rings of a piece may take
constexpr int kLeastColumns = 16, kLeastRows = 12;  // tiles of a piece, so that its margins are small
constexpr int kMostDeep = 4;                        // rows of tiles of a step

int lines_of(const Block& block, int channels) {
  const int line = kCacheLine / block.itemsize;
  return (channels + line - 1) / line;
}

// Steps whose rows a ring holds, and lines of its features.
struct RingSize {
  int slots, lines;
};

// The last rows of a plane, those of the next step in place of those that are not needed any more. As
// kernels read neighbours at fixed offsets, the rows on either side of the seam are there twice.
struct Ring {
  char* data;
  int slots, lines;
  int64_t height;  // pixels of a step
  int64_t row;     // bytes

  int64_t rows() const { return slots * height + 2; }
  int64_t line() const { return rows() * row; }
  // The plane of the whole image of which step `t` lies here.
  char* plane(int t) const { return data + (t % slots - t) * height * row; }

  // Rows of all lines, counted with the border, from pixel `first` to pixel `last` of the padded row.
  template <class F>
  void each(int64_t first, int64_t last, F body) const {
    for (int l = 0; l < lines; ++l) body(data + l * line() + first * kCacheLine, (last - first) * kCacheLine);
  }
  void zero(int64_t from, int64_t to, int64_t first, int64_t last) const {
    each(first, last, [&](char* at, int64_t bytes) {
      for (int64_t y = from; y < to; ++y) std::memset(at + y * row, 0, bytes);
    });
  }
  void copy(int64_t from, int64_t to, int64_t first, int64_t last) const {
    each(first, last, [&](char* at, int64_t bytes) { std::memcpy(at + to * row, at + from * row, bytes); });
  }

  // Before the last step is written: what lies below an image of so many rows.
  void close(int t, int image, int64_t first, int64_t last) const {
    const int64_t slot = t % slots * height + 1;
    zero(slot + image - t * height, slot + height + 1, first, last);
  }
  // After a step was written.
  void written(int t, int64_t first, int64_t last) const {
    if (slots == 1) return;  // nobody reads what lies around them
    const int64_t end = slots * height;
    if (t % slots == slots - 1) copy(end, 0, first, last);
    if (t % slots == 0 && t) copy(1, end + 1, first, last);
  }
};

// With so many tiles around it that lie in the image.
Piece with_margin(const Piece& p, const Geometry& g, int margin) {
  return {std::max(0, p.top - margin), std::min(g.tile_rows(), p.bottom + margin),
          std::max(0, p.left - margin), std::min(g.tile_cols(), p.right + margin)};
}

// Pixels of a padded row, with one on either side.
int64_t first_of(const Piece& p) { return int64_t(p.left) * kTile; }
int64_t last_of(const Piece& p) { return int64_t(p.right) * kTile + 2; }

// The rings of a block: of x, if that is computed on the way, of each convolution, and the narrow one.
std::vector<RingSize> ring_sizes(const Block& block) {
  const int lag = int(block.convs.size()) - 1;
  std::vector<RingSize> sizes;
  if (block.attends)  // from the step that the last convolution adds to the one below the first's
    sizes.push_back({std::max(lag, 1) + 3, lines_of(block, block.attend.n)});
  for (int j = 0; j <= lag; ++j)
    sizes.push_back({j < lag ? 3 : 1, lines_of(block, block.convs[j].n)});
  if (block.has_narrow) sizes.push_back({1, lines_of(block, block.narrow.n)});
  return sizes;
}

int64_t ring_bytes(const Block& block, int deep) {
  int64_t rows = 0;
  for (const RingSize& size : ring_sizes(block))
    rows += size.lines * (int64_t(size.slots) * deep * kTile + 2);
  return rows * block.geometry.stride() * kCacheLine;
}

// What rows and columns of tiles cost, in multiply-adds of a pixel.
class Costs {
 public:
  explicit Costs(const Block& block)
      : columns_(block.geometry.tile_cols()), rows_(block.geometry.tile_rows()) {
    const float besides = float(block.besides) * float(block.blend.n);
    float active = besides, inactive = besides;
    for (const Tiles& conv : block.convs) active += 9.0f * float(conv.k) * float(conv.n);
    if (block.has_narrow) inactive += 9.0f * float(block.narrow.k) * float(block.narrow.n);
    of_tiles_.assign(int64_t(rows_) * columns_, inactive);
    const TileList& list = block.active;
    for (int i = 0; i < list.begin.back(); ++i) of_tiles_[list.tiles[i]] = active;
  }

  double column(int x) const {
    double cost = 0;
    for (int y = 0; y < rows_; ++y) cost += of_tiles_[int64_t(y) * columns_ + x];
    return cost;
  }
  double row(int y, int left, int right) const {
    const float* const tiles = &of_tiles_[int64_t(y) * columns_];
    return std::accumulate(tiles + left, tiles + right, 0.0);
  }

 private:
  int columns_, rows_;
  std::vector<float> of_tiles_;
};

// Cuts rows or columns into parts that cost about as much, and returns where they begin, and the end. No part
// is half as small as the others, or its margins would be what it costs.
template <class F>
std::vector<int> even_parts(int count, int parts, F cost) {
  std::vector<double> sums{0};
  for (int i = 0; i < count; ++i) sums.push_back(sums.back() + cost(i));
  const int least = count / parts / 2;
  std::vector<int> cuts{0};
  for (int part = 1; part < parts; ++part) {
    const double wanted = sums.back() * part / parts;
    int cut = int(std::lower_bound(sums.begin(), sums.end(), wanted) - sums.begin());
    cut -= cut > 0 && wanted - sums[cut - 1] < sums[cut] - wanted;
    cuts.push_back(std::clamp(cut, cuts.back() + least, count - (parts - part) * least));
  }
  cuts.push_back(count);
  return cuts;
}

// One piece on its way down.
class Descent {
 public:
  Descent(const Block& block, const Piece& piece, float* scratch)
      : block_(block), piece_(piece), scratch_(scratch), lag_(int(block.convs.size()) - 1) {
    char* memory = reinterpret_cast<char*>(scratch + block.kernel_floats);
    const Piece wide = with_margin(piece, block.geometry, lag_ + 1);
    for (const RingSize& size : ring_sizes(block)) {
      const Ring ring{memory, size.slots, size.lines, block.deep * kTile,
                      block.geometry.stride() * kCacheLine};
      ring.zero(0, ring.rows(), first_of(wide), last_of(wide));
      memory += size.lines * ring.line();
      rings_.push_back(ring);
    }
  }

  void operator()() {
    const int start = with_margin(piece_, block_.geometry, lag_ + 1).top / block_.deep;
    const int steps = (piece_.bottom + block_.deep - 1) / block_.deep;
    for (int t = start - 1; t < steps + lag_; ++t) {
      if (block_.attends) attend(t + 1);
      for (int j = 0; j <= lag_; ++j) convolve(j, t - j);
      blend(t - lag_);
    }
  }

 private:
  const Ring& conv_ring(int j) const { return rings_[block_.attends + j]; }
  int64_t elements(int64_t bytes) const { return bytes / block_.itemsize; }

  // What a step computes of a piece; it may be nothing.
  Piece rows_of(Piece piece, int t) const {
    piece.top = std::max(piece.top, t * block_.deep);
    piece.bottom = std::min(piece.bottom, (t + 1) * block_.deep);
    return piece;
  }

  // The block's input, of which the rows of step `t` and those around them are there.
  const void* x(int t) const { return block_.attends ? rings_[0].plane(t) : block_.x; }
  int64_t x_line() const { return block_.attends ? elements(rings_[0].line()) : block_.x_line; }

  // Calls `body` for what a step writes to a ring, and sees to the rows around it.
  template <class F>
  void fill(const Ring& ring, int margin, int t, F body) {
    const Geometry& g = block_.geometry;
    const Piece piece = rows_of(with_margin(piece_, g, margin), t);
    if (piece.top >= piece.bottom) return;
    if (piece.bottom == g.tile_rows()) ring.close(t, g.height, first_of(piece), last_of(piece));
    body(piece);
    ring.written(t, first_of(piece), last_of(piece));
  }

  void attend(int t) {
    fill(rings_[0], lag_ + 1, t, [&](const Piece& piece) {
      Attend p = block_.attend;
      p.out = rings_[0].plane(t);
      p.out_line = elements(rings_[0].line());
      p.left = piece.left * kTile;
      p.right = std::min(piece.right * kTile, p.geometry.width);
      block_.attend_kernel(p, piece.top * kTile, std::min(piece.bottom * kTile, p.geometry.height),
                           scratch_);
    });
  }

  void convolve(int j, int t) {
    const Ring& ring = conv_ring(j);
    fill(ring, lag_ - j, t, [&](const Piece& piece) {
      Tiles p = block_.convs[j];
      p.in = j ? conv_ring(j - 1).plane(t) : x(t);
      p.in_line = j ? elements(conv_ring(j - 1).line()) : x_line();
      p.store.out = ring.plane(t);
      p.store.line = elements(ring.line());
      if (j == lag_ && block_.adds_x) {
        p.store.residual = x(t);
        p.store.residual_line = x_line();
      }
      at_tiles(p, block_.active, piece);
    });
  }

  // Calls the kernel for the listed tiles: of some rows, or of a part of one.
  void at_tiles(Tiles& p, const TileList& list, const Piece& piece) {
    const int64_t columns = block_.geometry.tile_cols();
    const int32_t *const begin = list.tiles + list.begin[piece.top],
                  *const end = list.tiles + list.begin[piece.bottom];
    p.tiles = std::lower_bound(begin, end, piece.top * columns + piece.left);
    p.count = int(std::lower_bound(p.tiles, end, (piece.bottom - 1) * columns + piece.right) - p.tiles);
    block_.tiles(p, 0, (p.count + kTileBlock - 1) / kTileBlock, scratch_);
  }

  void blend(int t) {
    const Piece piece = rows_of(piece_, t);
    if (piece.top >= piece.bottom) return;
    const Ring& last = conv_ring(lag_);
    const Source active[] = {{last.plane(t), elements(last.line()), 0, block_.hidden, nullptr}};
    Source inactive[2] = {{x(t), x_line(), 0, block_.seen, nullptr}};
    if (block_.has_narrow) {
      const Ring& ring = rings_.back();
      Tiles p = block_.narrow;
      p.in = x(t);
      p.in_line = x_line();
      p.store.out = ring.plane(t);
      p.store.line = elements(ring.line());
      at_tiles(p, block_.inactive, piece);
      inactive[1] = {ring.plane(t), elements(ring.line()), 0, block_.narrowed, nullptr};
    }
    Blend p = block_.blend;
    p.active.sources = active;
    p.inactive.sources = inactive;
    p.left = piece.left * kTile;
    p.right = std::min(piece.right * kTile, p.geometry.width);
    block_.blend_kernel(p, piece.top * kTile, std::min(piece.bottom * kTile, p.geometry.height),
                        scratch_);
  }

  const Block& block_;
  const Piece piece_;
  float* const scratch_;
  const int lag_;
  std::vector<Ring> rings_;
};

}  // namespace

void cut(Block& block, int threads) {
  const int columns = block.geometry.tile_cols(), rows = block.geometry.tile_rows();
  const int wide = int(kPieceBytes * columns / ring_bytes(block, 1));
  const int stripes = (columns - 1) / std::max(kLeastColumns, wide) + 1;
  block.deep = stripes > 1 ? 1 : std::clamp(block.step_tiles / columns, 1, kMostDeep);
  // As few as give every thread as many.
  const int segments = std::clamp(rows / kLeastRows, 1, threads / std::gcd(stripes, threads));
  const Costs costs(block);
  const auto across = even_parts(columns, stripes, [&](int x) { return costs.column(x); });
  for (int s = 0; s < stripes; ++s) {
    const int left = across[s], right = across[s + 1];
    const auto down = even_parts(rows, segments, [&](int y) { return costs.row(y, left, right); });
    for (int i = 0; i < segments; ++i) block.pieces.push_back({down[i], down[i + 1], left, right});
  }
}

int64_t block_floats(const Block& block) {
  return block.kernel_floats + ring_bytes(block, block.deep) / int64_t(sizeof(float));
}

void compute(const Block& block, int first, int last, float* scratch) {
  for (int item = first; item < last; ++item) Descent(block, block.pieces[item], scratch)();
}

}  // namespace smsr
