// What mask predictors see of an image: how far each pixel lies from its surroundings. A work item
// is a row.

// log(v) for v >= 1, to 2 units in the last place of 1 + log(v).
SMSR_INLINE Vec logarithm(Vec v) {
  const IntVec bits = (IntVec)v;
  IntVec exponent = (bits >> 23) - 127;
  const IntVec fraction = (bits & 0x7fffff) | 0x3f800000;
  Vec m = (Vec)fraction;
  const auto large = m > 1.41421356f;
  m = large ? m * 0.5f : m;
  exponent = large ? exponent + 1 : exponent;
  // log(m) = 2 artanh(s).
  const Vec s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
  Vec series = s2 * (1 / 9.0f) + 1 / 7.0f;
  series = series * s2 + 1 / 5.0f;
  series = series * s2 + 1 / 3.0f;
  series = series * s2 + 1.0f;
  const Vec result = 2.0f * s * series + __builtin_convertvector(exponent, Vec) * 0.693147181f;
  return v < __builtin_inff() ? result : v;
}

// Values of a row, one channel `room` floats behind the other, to the plane, as logarithms; each channel has
// room for whole vectors.
SMSR_INLINE void put_details(const Details& p, int y, float* values, int64_t room) {
  const int64_t width = p.geometry.width;
  const int channels = 2 * p.channels + 1;
  for (int c = 0; c < channels; ++c)
    for (int64_t x = 0; x < width; x += SMSR_LANES) {
      float* const at = values + c * room + x;
      store(at, logarithm(1.0f + p.levels * load(at)));
    }
  for (int first = 0; first < channels; first += kLine) {  // a line of the plane is written once
    const int last = channels - first < kLine ? channels : first + kLine;
    float* __restrict out = p.out + p.geometry.index(y, 0) * kLine + channel_at(first, p.out_line);
    for (int64_t x = 0; x < width; ++x, out += kLine)
      for (int c = first; c < last; ++c) out[c - first] = values[c * room + x];
  }
}

// |x - its mean over the pixels of a window that lie in the image|; `sums` has zeros on both sides.
template <int Reach>
SMSR_INLINE void from_mean(const Details& p, const float* image, int y, float* sums, float* values) {
  const int width = p.geometry.width, height = p.geometry.height;
  const int top = y < Reach ? 0 : y - Reach;
  const int bottom = y + Reach < height ? y + Reach : height - 1;
  for (int x = 0; x < width; ++x) sums[x] = image[int64_t(top) * width + x];
  for (int row = top + 1; row <= bottom; ++row)
    for (int x = 0; x < width; ++x) sums[x] += image[int64_t(row) * width + x];
  for (int x = 0; x < width; ++x) {
    const int left = x < Reach ? x : Reach, right = width - 1 - x < Reach ? width - 1 - x : Reach;
    float sum = 0;
    for (int i = -Reach; i <= Reach; ++i) sum += sums[x + i];
    const float d = image[int64_t(y) * width + x] -
                    sum / float((bottom - top + 1) * (left + right + 1));
    values[x] = d < 0 ? -d : d;
  }
}

// |d/dx| + |d/dy| of the channels' mean in a row; zero across the right and the lower edge.
SMSR_INLINE void gradient_row(const Details& p, int y, float* grey, float* below, float* values) {
  const int width = p.geometry.width, height = p.geometry.height;
  const int64_t image = int64_t(height) * width;
  const int next = y + 1 < height ? y + 1 : y;
  for (int x = 0; x < width; ++x) grey[x] = below[x] = 0;
  for (int c = 0; c < p.channels; ++c)
    for (int x = 0; x < width; ++x) {
      grey[x] += p.lq[c * image + int64_t(y) * width + x];
      below[x] += p.lq[c * image + int64_t(next) * width + x];
    }
  const float share = 1.0f / float(p.channels);
  for (int x = 0; x < width; ++x) {
    const float across = grey[x + 1 < width ? x + 1 : x] - grey[x], down = below[x] - grey[x];
    values[x] = ((across < 0 ? -across : across) + (down < 0 ? -down : down)) * share;
  }
}

void details(const Details& p, int first, int last, float* scratch) {
  const int width = p.geometry.width, height = p.geometry.height;
  const int64_t room = details_room(width), image = int64_t(height) * width;
  for (int64_t x = 0; x < details_floats(p); ++x) scratch[x] = 0;  // what lies around a row
  float* const a = scratch + kLine;
  float* const b = a + room;
  constexpr int kReach = 2, kSeen = 2 * kReach + 1;
  float* const gradients = b + room;  // those of `kSeen` rows, each at its number modulo that
  float* const values = gradients + kSeen * room;
  float* const most = values + 2 * p.channels * room;
  int ready = first - kReach < 0 ? 0 : first - kReach;
  for (int y = first; y < last; ++y) {
    for (int c = 0; c < p.channels; ++c) {
      from_mean<1>(p, p.lq + c * image, y, a, values + c * room);
      from_mean<3>(p, p.lq + c * image, y, a, values + (p.channels + c) * room);
    }
    for (; ready <= y + kReach && ready < height; ++ready)
      gradient_row(p, ready, a, b, gradients + ready % kSeen * room);
    for (int x = 0; x < width; ++x) b[x] = 0;
    for (int row = y < kReach ? 0 : y - kReach; row <= y + kReach && row < height; ++row) {
      const float* const gradient = gradients + row % kSeen * room;
      for (int x = 0; x < width; ++x) b[x] = gradient[x] > b[x] ? gradient[x] : b[x];
    }
    for (int x = 0; x < width; ++x) {
      float largest = 0;
      for (int i = -kReach; i <= kReach; ++i) largest = b[x + i] > largest ? b[x + i] : largest;
      most[x] = largest;
    }
    put_details(p, y, values, room);
  }
}
