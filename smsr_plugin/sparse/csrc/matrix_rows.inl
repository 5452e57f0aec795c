// Products over the rows of a list of pixels with matrix tiles. Of an item all rows are copied, then
// multiplied, then finished: a product that reads what was stored just before waits for it.

// Pixels of an item, sixteen to a matrix tile: where they are, and whether they follow one another.
struct MatrixItem {
  int64_t pixel[kMatrixBlock];  // beyond the last one that again
  bool run[kMatrixBlock / kRun];
  int count, tiles;             // an even number of tiles

  MatrixItem(const smsr::Rows& p, int begin, int end)
      : count(end - begin), tiles(int(rounded_up(count, kMatrixRows)) / kRun) {
    for (int i = 0; i < tiles * kRun; ++i) pixel[i] = p.pixels[begin + (i < count ? i : count - 1)];
    for (int t = 0; t < tiles; ++t) run[t] = are_one_run(pixel + t * kRun);
  }

  // The rows of a tile in a source: where the first of them lies, if they can be multiplied there.
  template <class Element>
  const Element* in_place(const Source& source, int tile) const {
    return run[tile] && !source.activity ? source_row<Element>(source, pixel[tile * kRun]) : nullptr;
  }
};

// Inputs of a source among the weights: whole lines.
template <class Element>
SMSR_INLINE int64_t whole_lines(int k) {
  return rounded_up(k, kLineOf<Element>);
}

// Copies the rows of a source, a line of a tile after the other, that are not multiplied where they lie.
// A tile's copies begin `room` elements behind those of the tile before.
template <class Element>
SMSR_INLINE void copy_rows(const MatrixItem& item, const Source& source, Element* copies, int64_t room) {
  for (int t = 0; t < item.tiles; ++t, copies += room) {
    if (item.in_place<Element>(source, t)) continue;
    const Element* row[kRun];
    for (int r = 0; r < kRun; ++r) row[r] = source_row<Element>(source, item.pixel[t * kRun + r]);
    Element* to = copies;
    for (int64_t k = 0, line = 0; k < source.k; k += kLineOf<Element>, line += source.line, to += kTileOf<Element>)
#pragma GCC unroll 16
      for (int r = 0; r < kRun; ++r) _mm512_store_si512(to + r * kLineOf<Element>, load_line(row[r] + line));
  }
}

// Adds the products of a source's rows in tiles `t` and `t` + 1 to the sums.
template <int Panels, class Element>
SMSR_INLINE void add_source(const MatrixItem& item, int t, const Source& source, const Element* copies,
                            int64_t room, const Element* w, int64_t panel) {
  const Element *a = item.in_place<Element>(source, t), *b = item.in_place<Element>(source, t + 1);
  const int64_t a_step = a ? source.line : kTileOf<Element>, b_step = b ? source.line : kTileOf<Element>;
  if (!a) a = copies + t * room;
  if (!b) b = copies + (t + 1) * room;
  for (int k = 0; k < source.k; k += kLineOf<Element>, a += a_step, b += b_step, w += kTileOf<Element>)
    MatrixSums<Panels>::add(a, b, kLineOf<Element>, w, panel);
}

// Calls f(panel, Int<panels>, tile) for one or two panels and two tiles at a time: the weights of a few outputs
// stay in the cache.
template <class F>
SMSR_INLINE void for_matrix_sums(const MatrixItem& item, int panels, F f) {
  for (int panel = 0; panel < panels; panel += 2)
    for (int t = 0; t < item.tiles; t += 2)
      if (panel + 1 < panels)
        f(panel, Int<2>{}, t);
      else
        f(panel, Int<1>{}, t);
}

// Where a thread keeps an item's rows: finished ones, the chain's, those rounded to be multiplied by the
// chain, and copies.
struct MatrixMemory {
  float *value, *chained;
  Half *rounded, *copies;
};

// Sums up the products of the sources in `value`.
template <class Element>
SMSR_INLINE void sum_item(const smsr::Rows& p, const MatrixItem& item, int64_t depth,
                          const MatrixMemory& memory) {
  const int64_t room = depth * kRun;
  int64_t before = 0;
  auto* const room_for_all = reinterpret_cast<Element*>(memory.copies);
  for (int s = 0; s < p.num_sources; before += whole_lines<Element>(p.sources[s++].k))
    copy_rows(item, p.sources[s], room_for_all + before * kRun, room);
  tiles_see_memory();
  for_matrix_sums(item, p.n / kLine, [&](int panel, auto panels, int t) {
    constexpr int P = decltype(panels)::value;
    const auto* w = static_cast<const Element*>(p.weights) + panel * depth * kLine;
    const Element* copies = room_for_all;
    MatrixSums<P>::zero();
    for (int s = 0; s < p.num_sources; ++s) {
      const int64_t lines = whole_lines<Element>(p.sources[s].k);
      add_source<P>(item, t, p.sources[s], copies, room, w, depth * kLine);
      w += lines * kLine;
      copies += lines * kRun;
    }
    MatrixSums<P>::store(memory.value + t * kRun * int64_t(p.n) + panel * kLine, p.n);
  });
}

// The share of the finished rows in the chain's sums, and of the residual where it lies.
template <class Out>
SMSR_INLINE void chain_item(const smsr::Rows& p, const MatrixItem& item, const MatrixMemory& memory) {
  const int64_t width = whole_lines<Half>(p.n), room = width * kRun;
  const Source residual{p.store.residual, p.store.residual_line, 0, p.n, nullptr};
  if (p.chain_residual) copy_rows(item, residual, memory.copies, room);
  for (int i = 0; i < item.tiles * kRun; ++i) {
    const float* const value = memory.value + i * int64_t(p.n);
    for (int c = 0; c < p.n; c += kHalfLine) {
      const Vec v[2] = {load(value + c), c + kLine < p.n ? load(value + c + kLine) : Vec{}};
      HalfProduct::keep<2>(memory.rounded + i * width + c, v);
    }
    for (int c = 0; c < p.chain_n; c += kLine)
      store(memory.chained + i * int64_t(p.chain_n) + c,
            p.chain_bias
                ? load(p.chain_bias + c)
                : Out::in_order(channels_at<Out>(p.chain_out, p.chain_line, item.pixel[i], c)));
  }
  tiles_see_memory();
  const int64_t depth = (p.chain_residual ? 2 : 1) * width;
  for_matrix_sums(item, p.chain_n / kLine, [&](int panel, auto panels, int t) {
    constexpr int P = decltype(panels)::value;
    const auto* w = static_cast<const Half*>(p.chain_weights) + panel * depth * kLine;
    float* const sums = memory.chained + t * kRun * int64_t(p.chain_n) + panel * kLine;
    MatrixSums<P>::load(sums, p.chain_n);
    if (p.chain_residual) {
      add_source<P>(item, t, residual, memory.copies, room, w, depth * kLine);
      w += width * kLine;
    }
    const Half* const kept = memory.rounded + t * room;
    for (int c = 0; c < p.n; c += kHalfLine, w += kTileElements)
      MatrixSums<P>::add(kept + c, kept + room + c, width, w, depth * kLine);
    MatrixSums<P>::store(sums, p.chain_n);
  });
  if (p.chain_relu)
    for (int64_t i = 0; i < int64_t(item.count) * p.chain_n; i += kLine)
      store(memory.chained + i, relu(load(memory.chained + i)));
}

template <class Element, class Out>
void matrix_rows(const smsr::Rows& given, int first, int last, float* scratch) {
  const TileRegisters registers;
  const smsr::Rows p = given;  // else read again after whatever is stored
  int64_t depth = 0;
  for (int s = 0; s < p.num_sources; ++s) depth += whole_lines<Element>(p.sources[s].k);
  float* const sums = scratch;
  MatrixMemory memory;
  memory.rounded = reinterpret_cast<Half*>(sums + rounded_up(p.n, kLine));
  const int64_t width = whole_lines<Half>(p.n);
  const int64_t copied = depth * int64_t(sizeof(Element)) / int64_t(sizeof(Half));
  memory.copies = memory.rounded + kMatrixBlock * width;
  memory.value = reinterpret_cast<float*>(memory.copies + kMatrixBlock * (copied > width ? copied : width));
  memory.chained = memory.value + int64_t(kMatrixBlock) * p.n;
  for (int at = first; at < last; ++at) {
    const int begin = at * kMatrixBlock;
    const MatrixItem item(p, begin, p.count - begin < kMatrixBlock ? p.count : begin + kMatrixBlock);
    for (int c = 0; c < p.n; ++c) sums[c] = 0;
    sum_item<Element>(p, item, depth, memory);
    for (int i = 0; i < item.count; i += kRows) {
      prefetch_added<typename Out::Element>(p, begin + i + 2 * kRows, begin + i + 3 * kRows);
      if (at + 1 < last)
        prefetch_sources<Element>(p, begin + kMatrixBlock + i, begin + kMatrixBlock + i + kRows);
      const int rows = item.count - i < kRows ? item.count - i : kRows;
      int64_t pixel[kRows];
      for (int r = 0; r < kRows; ++r) pixel[r] = item.pixel[i + (r < rows ? r : rows - 1)];
      for_panels<kRows>(p.n / kLine, [&](int panel, auto panels) {
        finish_rows<typename SumsOf<Element>::Type, Out, kRows, decltype(panels)::value>(
            p, panel * kLine, pixel, rows, memory.value + i * int64_t(p.n), p.store.sums ? sums : nullptr);
      });
    }
    if (p.chain_weights) {
      chain_item<Out>(p, item, memory);
      store_rows<Out>(p.chain_out, p.chain_line, p.chain_streams, memory.chained, p.chain_n, item.pixel,
                      item.count);
    }
    if (p.keeps()) {
      const Store& s = p.store;  // last: `out` may be the residual
      store_rows<Out>(s.out, s.line, s.streams, memory.value, p.n, item.pixel, item.count);
    }
    if (p.levels) {
      const Vec scale = Vec{} + p.levels_of_one;
      for (int64_t c = 0; c < int64_t(item.count) * p.n; c += kLine)
        store(memory.value + c, load(memory.value + c) * scale);
      store_rows<SignedFeatures>(p.levels, p.levels_line, p.levels_stream, memory.value, p.n, item.pixel,
                                 item.count);
    }
    if (p.store.sums)
      for (int c = 0; c < p.n; ++c) p.store.sums[int64_t(at) * p.n + c] = sums[c];
  }
  if (p.store.streams || p.chain_streams || p.levels_stream) streamed();
}
