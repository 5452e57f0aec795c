#include "masks.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "parallel.h"

namespace smsr {

namespace {

// Runs f(row) for every row, on threads.
template <class F>
void for_rows(int rows, int threads, const F& f) {
  parallel_for(
      rows, 1, threads, 0,
      [](const void* context, int first, int last, float*) {
        for (int row = first; row < last; ++row) (*static_cast<const F*>(context))(row);
      },
      &f);
}

// How many of each a row of tiles has, or how many there are before it.
struct Counts {
  int64_t active = 0, inactive = 0, active_tiles = 0, inactive_tiles = 0;
};

static_assert(kTile == 4 && kActive == 2 && kInactive == 1);
constexpr uint32_t kFourActive = 0x02020202, kFourInactive = 0x01010101;

int last_row(const Geometry& g, int ty) { return std::min((ty + 1) * kTile, g.height); }

// Four pixels of a row from pixel x on; those beyond the image are kOutside, whatever lies there.
uint32_t four_at(const Geometry& g, const uint8_t* row, int x) {
  uint32_t four = 0;
  if (x + kTile <= g.width)
    std::memcpy(&four, row + x, sizeof four);
  else
    for (int i = 0; x + i < g.width; ++i) four |= uint32_t(row[x + i]) << 8 * i;
  return four;
}

// Calls f(tx, pixels of any kind in the tile).
template <class F>
void for_tiles(const Geometry& g, const uint8_t* activity, int ty, F f) {
  const uint8_t* const first = activity + g.index(ty * kTile, 0);
  for (int tx = 0; tx < g.tile_cols(); ++tx) {
    uint32_t any = 0;
    for (int y = 0; y < last_row(g, ty) - ty * kTile; ++y) any |= four_at(g, first + y * g.stride(), tx * kTile);
    f(tx, any);
  }
}

Counts count(const Geometry& g, const uint8_t* activity, int ty) {
  Counts found;
  for (int y = ty * kTile; y < last_row(g, ty); ++y) {
    const uint8_t* const row = activity + g.index(y, 0);
    int64_t active = 0;
    for (int x = 0; x < g.width; ++x) active += row[x] == kActive;
    found.active += active;
    found.inactive += g.width - active;
  }
  for_tiles(g, activity, ty, [&](int, uint32_t any) {
    found.active_tiles += (any & kFourActive) != 0;
    found.inactive_tiles += (any & kFourInactive) != 0;
  });
  return found;
}

// Lists what a row of tiles has, behind what the rows before it have.
void fill(const Geometry& g, const uint8_t* activity, int ty, Counts at, const Lists& lists) {
  int32_t *active = lists.active.data.get() + at.active, *inactive = lists.inactive.data.get() + at.inactive;
  for (int y = ty * kTile; y < last_row(g, ty); ++y) {
    const int64_t start = g.index(y, 0);
    for (int x = 0; x < g.width; x += kTile) {  // most fours are of one kind
      const uint32_t four = four_at(g, activity + start, x);
      const auto first = int32_t(start + x);
      if (four == kFourActive) {
        for (int i = 0; i < kTile; ++i) active[i] = first + i;
        active += kTile;
      } else if (four == kFourInactive) {
        for (int i = 0; i < kTile; ++i) inactive[i] = first + i;
        inactive += kTile;
      } else {
        for (int i = 0; i < kTile && x + i < g.width; ++i)
          *(activity[start + x + i] == kActive ? active++ : inactive++) = first + i;
      }
    }
  }
  int32_t* active_tiles = lists.active_tiles.data.get() + at.active_tiles;
  int32_t* inactive_tiles = lists.inactive_tiles.data.get() + at.inactive_tiles;
  for_tiles(g, activity, ty, [&](int tx, uint32_t any) {
    if (any & kFourActive) *active_tiles++ = ty * g.tile_cols() + tx;
    if (any & kFourInactive) *inactive_tiles++ = ty * g.tile_cols() + tx;
  });
}

}  // namespace

void decide(const Geometry& geometry, const float* products, float bias, float threshold,
            uint8_t* activity, int threads) {
  const Geometry half{(geometry.height + 1) / 2, (geometry.width + 1) / 2};
  for_rows(half.height, threads, [&](int y) {
    const bool has_below = 2 * y + 1 < geometry.height;
    uint8_t* const upper = activity + geometry.index(2 * y, 0);
    uint8_t* const lower = has_below ? upper + geometry.stride() : upper;  // written first, then again
    const auto kind = [&](float logit) { return logit + bias > threshold ? kActive : kInactive; };
    const float* here = products + half.index(y, 0) * kLine;
    for (int x = 0; x < geometry.width; x += 2, here += kLine) {
      const float* const right = here + kLine;
      const float* const below = here + half.stride() * kLine;
      const float* const diagonal = below + kLine;
      lower[x] = kind(here[7] + below[1]);
      if (x + 1 < geometry.width) {
        lower[x + 1] = kind(here[8] + right[6] + below[2] + diagonal[0]);
        upper[x + 1] = kind(here[5] + right[3]);
      }
      upper[x] = kind(here[4]);
    }
  });
}

Lists list(const Geometry& geometry, const uint8_t* activity, int threads) {
  std::vector<Counts> before(geometry.tile_rows());
  for_rows(geometry.tile_rows(), threads, [&](int ty) { before[ty] = count(geometry, activity, ty); });
  Counts all;
  for (Counts& row : before) {
    const Counts here = row;
    row = all;
    all.active += here.active;
    all.inactive += here.inactive;
    all.active_tiles += here.active_tiles;
    all.inactive_tiles += here.inactive_tiles;
  }
  Lists lists{List(all.active), List(all.inactive), List(all.active_tiles), List(all.inactive_tiles)};
  for_rows(geometry.tile_rows(), threads, [&](int ty) { fill(geometry, activity, ty, before[ty], lists); });
  return lists;
}

}  // namespace smsr
