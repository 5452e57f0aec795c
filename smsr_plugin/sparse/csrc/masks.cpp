#include "masks.h"

#include <functional>

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

// Concatenates what each row found, in order.
std::vector<int32_t> joined(const std::vector<Lists>& rows, std::vector<int32_t> Lists::*list) {
  size_t size = 0;
  for (const Lists& row : rows) size += (row.*list).size();
  std::vector<int32_t> all;
  all.reserve(size);
  for (const Lists& row : rows) all.insert(all.end(), (row.*list).begin(), (row.*list).end());
  return all;
}

}  // namespace

void decide(const Geometry& geometry, const float* products, float bias, float threshold,
            uint8_t* activity, int threads) {
  const Geometry half{(geometry.height + 1) / 2, (geometry.width + 1) / 2};
  for_rows(half.height, threads, [&](int y) {
    for (int x = 0; x < half.width; ++x) {
      const float* const here = products + half.index(y, x) * kLine;
      const float* const right = here + kLine;
      const float* const below = here + half.stride() * kLine;
      const float* const diagonal = below + kLine;
      const float logits[2][2] = {
          {here[4], here[5] + right[3]},
          {here[7] + below[1], here[8] + right[6] + below[2] + diagonal[0]},
      };
      for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 2; ++j)
          if (2 * y + i < geometry.height && 2 * x + j < geometry.width)
            activity[geometry.index(2 * y + i, 2 * x + j)] =
                logits[i][j] + bias > threshold ? kActive : kInactive;
    }
  });
}

Lists list(const Geometry& geometry, const uint8_t* activity, int threads) {
  const int tile_rows = geometry.tile_rows(), tile_cols = geometry.tile_cols();
  std::vector<Lists> found(tile_rows);
  for_rows(tile_rows, threads, [&](int ty) {
    Lists& row = found[ty];
    std::vector<uint8_t> any_on(tile_cols, 0), any_off(tile_cols, 0);
    const int last = (ty + 1) * kTile < geometry.height ? (ty + 1) * kTile : geometry.height;
    // One element more than there can be, so that every pixel may be written and only some kept.
    row.active.resize((last - ty * kTile) * size_t(geometry.width) + 1);
    row.inactive.resize(row.active.size());
    size_t num_on = 0, num_off = 0;
    for (int y = ty * kTile; y < last; ++y) {
      const int64_t start = geometry.index(y, 0);
      for (int x = 0; x < geometry.width; ++x) {
        const bool is_active = activity[start + x] == kActive;
        row.active[num_on] = row.inactive[num_off] = int32_t(start + x);
        num_on += is_active;
        num_off += !is_active;
        any_on[x / kTile] |= is_active;
        any_off[x / kTile] |= !is_active;
      }
    }
    row.active.resize(num_on);
    row.inactive.resize(num_off);
    for (int tx = 0; tx < tile_cols; ++tx) {
      if (any_on[tx]) row.active_tiles.push_back(ty * tile_cols + tx);
      if (any_off[tx]) row.inactive_tiles.push_back(ty * tile_cols + tx);
    }
  });
  return {joined(found, &Lists::active), joined(found, &Lists::inactive),
          joined(found, &Lists::active_tiles), joined(found, &Lists::inactive_tiles)};
}

}  // namespace smsr
