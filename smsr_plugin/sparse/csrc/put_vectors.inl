// Stores the first `Count` vectors of channels from channel `c` on, which begins a line, of the pixel at
// `pixel`. In bfloat16 half a line that is left is filled with zeros.
template <class Features, int Count>
SMSR_INLINE void put_vectors(typename Features::Element* pixel, int64_t line, int c,
                             const Vec (&v)[Count], bool streams) {
  using Element = typename Features::Element;
  constexpr int groups = Features::kGroups, whole = Count / groups * groups;
#pragma GCC unroll 16
  for (int i = 0; i < whole; i += groups) {
    Vec value[groups];
#pragma GCC unroll 2
    for (int g = 0; g < groups; ++g) value[g] = v[i + g];
    Features::template put_line<groups>(pixel + channel_at<Element>(c + i * SMSR_LANES, line), value,
                                        streams);
  }
  if constexpr (whole < Count) {
    const Vec value[1] = {v[whole]};
    Features::template put_line<1>(pixel + channel_at<Element>(c + whole * SMSR_LANES, line), value,
                                   streams);
  }
}
