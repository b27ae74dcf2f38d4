#include "source_packing.h"

#include <string.h>

#include <algorithm>
#include <numeric>

namespace tamis {
namespace {

// Adding zero makes a negative zero positive.
uint64_t bits_of(double value) {
  value += 0.0;
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Short numbers have zeros in their low bits, where multiplication mixes nothing: the high bits are copied there.
uint64_t hash(const RawRows& raw, int64_t row) {
  const double* const x = raw.x + row * raw.columns;
  uint64_t key = 0;
  for (int64_t k = 0; k < raw.columns; ++k) {
    const uint64_t bits = bits_of(x[k]);
    key += (bits ^ (bits >> 32)) * raw.multipliers[k];
  }
  return key;
}

bool same(const RawRows& raw, int64_t one, int64_t two) {
  const double *const left = raw.x + one * raw.columns, *const right = raw.x + two * raw.columns;
  for (int64_t k = 0; k < raw.columns; ++k)
    if (left[k] != right[k]) return false;
  return true;
}

// An order of different rows that share a hash.
bool before(const RawRows& raw, int64_t one, int64_t two) {
  const double *const left = raw.x + one * raw.columns, *const right = raw.x + two * raw.columns;
  return std::lexicographical_compare(left, left + raw.columns, right, right + raw.columns);
}

struct Slot {
  uint64_t key;
  int64_t entry;  // among the rows found, -1 while empty
};

}  // namespace

UniqueRows unique_rows(const RawRows& raw) {
  // Open addressing, at most half full. The high bits of the product are the well mixed ones.
  int bits = 4;
  while ((int64_t(1) << bits) < 2 * raw.rows) ++bits;
  std::vector<Slot> table(size_t(1) << bits, Slot{0, -1});
  const size_t mask = table.size() - 1;
  std::vector<uint64_t> keys;
  std::vector<int64_t> first;
  std::vector<double> counts;
  for (int64_t row = 0; row < raw.rows; ++row) {
    const uint64_t key = hash(raw, row);
    size_t at = size_t((key * 0x9e3779b97f4a7c15u) >> (64 - bits));
    while (table[at].entry >= 0 && !(table[at].key == key && same(raw, first[size_t(table[at].entry)], row)))
      at = (at + 1) & mask;
    if (table[at].entry < 0) {
      table[at] = {key, int64_t(first.size())};
      keys.push_back(key), first.push_back(row);
      counts.insert(counts.end(), 4, 0.0);
    }
    counts[size_t(table[at].entry * 4 + raw.cells[row])] += 1;
  }
  std::vector<size_t> order(first.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::sort(order.begin(), order.end(), [&](size_t one, size_t two) {
    return keys[one] != keys[two] ? keys[one] < keys[two] : before(raw, first[one], first[two]);
  });
  UniqueRows found;
  found.first.reserve(order.size()), found.counts.reserve(counts.size());
  for (const size_t entry : order) {
    found.first.push_back(first[entry]);
    found.counts.insert(found.counts.end(), counts.begin() + int64_t(entry) * 4, counts.begin() + int64_t(entry) * 4 + 4);
  }
  return found;
}

void centre_rows(const RawRows& raw, const UniqueRows& unique, double* rows, double* statistics) {
  const int64_t columns = raw.columns, count = int64_t(unique.first.size());
  const double n = double(raw.rows);
  double *const centre = statistics, *const mean = statistics + columns, *const variance = statistics + 2 * columns;
  std::fill(statistics, statistics + 3 * columns, 0.0);
  std::vector<char> varies(size_t(columns), 0);
  std::vector<double> repeats(static_cast<size_t>(count));
  const double* const top = raw.x + unique.first[0] * columns;
  for (int64_t u = 0; u < count; ++u) {
    const double* const c = unique.counts.data() + u * 4;
    const double times = repeats[size_t(u)] = c[0] + c[1] + c[2] + c[3];
    const double* const x = raw.x + unique.first[size_t(u)] * columns;
    for (int64_t k = 0; k < columns; ++k) centre[k] += times * x[k], varies[size_t(k)] |= x[k] != top[k];
  }
  // A constant column is centred at its value, so that it is exactly zero.
  for (int64_t k = 0; k < columns; ++k) centre[k] = varies[size_t(k)] ? centre[k] / n : top[k] + 0.0;
  for (int64_t u = 0; u < count; ++u) {
    const double* const x = raw.x + unique.first[size_t(u)] * columns;
    double* const row = rows + u * columns;
    const double times = repeats[size_t(u)];
    for (int64_t k = 0; k < columns; ++k) {
      const double value = x[k] - centre[k];
      row[k] = value, mean[k] += times * value, variance[k] += times * (value * value);
    }
  }
  for (int64_t k = 0; k < columns; ++k) {
    mean[k] /= n;
    const double found = variance[k] / n - mean[k] * mean[k];
    variance[k] = found < 0 ? 0 : found;  // not a number stays one, for the caller to see
  }
}

}  // namespace tamis
