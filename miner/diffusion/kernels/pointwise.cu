// Sums with a bias and gated activations, which only wait for memory: each number is read and written once.
#include "gpu.cuh"

namespace pointwise {

constexpr int THREADS = 256;

// The first of the N numbers that this thread works on.
template <int N> __device__ inline unsigned first() { return (blockIdx.x * THREADS + threadIdx.x) * N; }

// numbers + bias, + others if there are any. A bias belongs to `places` numbers one after the other, and
// there are `channels` of them. N divides the places, or else they are 1 and N divides the channels, or N
// is 1.
template <typename T, int N>
__device__ void add(const T *numbers, const T *bias, const T *others, T *results, unsigned count, unsigned channels,
                    unsigned places, bool has_others) {
	const unsigned i = first<N>();
	if (i >= count) {
		return;
	}
	const unsigned channel = i / places % channels;
	const auto vector = Vector<T, N>::load(numbers + i);
	Vector<T, N> other = vector, result;
	if (has_others) {
		other = Vector<T, N>::load(others + i);
	}
	for (int j = 0; j < N; ++j) {
		float sum = to_float(vector.numbers[j]) + to_float(bias[places == 1 ? channel + j : channel]);
		if (has_others) {
			sum += to_float(other.numbers[j]);
		}
		result.numbers[j] = from_float<T>(sum);
	}
	result.store(results + i);
}

// Rows of 2 × width numbers with a bias: the first half times GELU of the second (GEGLU, Shazeer 2020), GELU
// being x Φ(x) with the normal distribution Φ. N divides the width.
template <typename T, int N>
__device__ void geglu(const T *numbers, const T *bias, T *results, unsigned count, unsigned width) {
	const unsigned i = first<N>();
	if (i >= count) {
		return;
	}
	const unsigned column = i % width;
	// i = row × width + column, and rows are twice as wide.
	const T *value = numbers + 2 * static_cast<size_t>(i) - column;
	const auto values = Vector<T, N>::load(value), gates = Vector<T, N>::load(value + width);
	Vector<T, N> result;
	for (int j = 0; j < N; ++j) {
		const float x = to_float(gates.numbers[j]) + to_float(bias[width + column + j]);
		// Φ(x) by the complement of erf: 1 + erf(x) would lose what is left of it far below 0.
		const float gelu = 0.5f * x * erfcf(x * -0.70710678f);
		const float gated = (to_float(values.numbers[j]) + to_float(bias[column + j])) * gelu;
		result.numbers[j] = from_float<T>(gated);
	}
	result.store(results + i);
}

} // namespace pointwise

#define POINTWISE(TYPE, N, NAME)                                                                               \
	extern "C" __global__ void add_##NAME(const TYPE *numbers, const TYPE *bias, const TYPE *others,           \
	                                      TYPE *results, int count, int channels, int places,                  \
	                                      int has_others) {                                                    \
		pointwise::add<TYPE, N>(numbers, bias, others, results, count, channels, places, has_others != 0);     \
	}                                                                                                          \
	extern "C" __global__ void geglu_##NAME(const TYPE *numbers, const TYPE *bias, TYPE *results, int count,   \
	                                        int width) {                                                       \
		pointwise::geglu<TYPE, N>(numbers, bias, results, count, width);                                       \
	}

POINTWISE(half, 8, f16)
POINTWISE(half, 1, f16_single)
POINTWISE(float, 4, f32)
POINTWISE(float, 1, f32_single)
