// Group normalisation (Wu and He 2018) of pictures (batch, channels, places), with something added to each
// channel before it and SiLU after it, in two kernels: moments of pieces of the groups, then the result.
//
// Vectors of N numbers lie in one channel: N divides the places, or is 1.
#include "gpu.cuh"

namespace group_norm {

constexpr int WARPS = 8;
constexpr int THREADS = 32 * WARPS;

// The number, the mean and the sum of the squared distances from the mean of some numbers.
struct Moments {
	float count, mean, squares;
};

// Of both together (Chan, Golub and LeVeque 1979).
__device__ inline Moments merged(Moments a, Moments b) {
	const float count = a.count + b.count;
	if (count == 0) {
		return a;
	}
	const float distance = b.mean - a.mean, share = b.count / count;
	return {count, a.mean + distance * share, a.squares + b.squares + distance * distance * a.count * share};
}

// Of all numbers of a warp, in each lane.
__device__ inline Moments merged_in_warp(Moments moments) {
	for (int mask = 1; mask < 32; mask *= 2) {
		const Moments other = {of_lane_xor(moments.count, mask), of_lane_xor(moments.mean, mask),
		                       of_lane_xor(moments.squares, mask)};
		moments = merged(moments, other);
	}
	return moments;
}

// What the pictures are like: `wide` channels a group of `channels`, `pieces` of so many numbers (`piece`) a
// group; of `added` each picture has a row if `added_rows` is 1, all have the same if it is 0, and there is
// none if it is -1.
struct Sizes {
	int channels, wide, places, pieces, piece, added_rows;
};

// Where the block is: the index of its group and in it the first of its numbers and the one after its last.
struct Span {
	int group, first, end;

	__device__ explicit Span(const Sizes &sizes) {
		const int numbers = sizes.wide * sizes.places;
		group = blockIdx.y;
		first = blockIdx.x * sizes.piece;
		end = numbers - first < sizes.piece ? numbers : first + sizes.piece;
	}
};

// What is added to the channel, which counts over all pictures.
template <typename T> __device__ inline float added_to(const T *added, int channel, const Sizes &sizes) {
	if (sizes.added_rows < 0) {
		return 0;
	}
	return to_float(added[sizes.added_rows ? channel : channel % sizes.channels]);
}

template <typename T, int N>
__device__ void moments(const T *numbers, const T *added, Moments *moments_of, const Sizes &sizes) {
	const Span span(sizes);
	const long long start = static_cast<long long>(span.group) * sizes.wide * sizes.places;
	Moments own = {0, 0, 0};
	for (int i = span.first + N * threadIdx.x; i < span.end; i += N * THREADS) {
		const auto vector = Vector<T, N>::load(numbers + start + i);
		const int channel = span.group * sizes.wide + i / sizes.places;
		const float shift = added_to(added, channel, sizes);
		float values[N], sum = 0, squares = 0;
		for (int j = 0; j < N; ++j) {
			values[j] = to_float(vector.numbers[j]) + shift;
			sum += values[j];
		}
		const float mean = sum / N;
		for (int j = 0; j < N; ++j) {
			squares += (values[j] - mean) * (values[j] - mean);
		}
		own = merged(own, {N, mean, squares});
	}
	own = merged_in_warp(own);
	__shared__ Moments of_warps[WARPS];
	if (threadIdx.x % 32 == 0) {
		of_warps[threadIdx.x / 32] = own;
	}
	__syncthreads();
	if (threadIdx.x == 0) {
		for (int warp = 1; warp < WARPS; ++warp) {
			own = merged(own, of_warps[warp]);
		}
		moments_of[span.group * sizes.pieces + blockIdx.x] = own;
	}
}

template <typename T, int N>
__device__ void apply(const T *numbers, const T *added, const Moments *moments_of, const T *scale,
                      const T *shift, T *results, const Sizes &sizes, float eps, bool silu) {
	const Span span(sizes);
	// Every warp for itself: they need not wait for each other.
	Moments whole = {0, 0, 0};
	for (int piece = threadIdx.x % 32; piece < sizes.pieces; piece += 32) {
		whole = merged(whole, moments_of[span.group * sizes.pieces + piece]);
	}
	whole = merged_in_warp(whole);
	const float inverse = 1.0f / sqrtf(whole.squares / whole.count + eps);

	const long long start = static_cast<long long>(span.group) * sizes.wide * sizes.places;
	for (int i = span.first + N * threadIdx.x; i < span.end; i += N * THREADS) {
		const auto vector = Vector<T, N>::load(numbers + start + i);
		const int channel = span.group * sizes.wide + i / sizes.places;
		const float mean = whole.mean - added_to(added, channel, sizes);
		const float factor = inverse * to_float(scale[channel % sizes.channels]);
		const float offset = to_float(shift[channel % sizes.channels]);
		Vector<T, N> result;
		for (int j = 0; j < N; ++j) {
			const float normed = (to_float(vector.numbers[j]) - mean) * factor + offset;
			result.numbers[j] = from_float<T>(silu ? normed / (1.0f + expf(-normed)) : normed);
		}
		result.store(results + start + i);
	}
}

} // namespace group_norm

#define GROUP_NORM(TYPE, N, NAME)                                                                              \
	extern "C" __global__ void group_norm_moments_##NAME(const TYPE *numbers, const TYPE *added,               \
	                                                     group_norm::Moments *moments, int channels, int wide, \
	                                                     int places, int pieces, int piece, int added_rows) {  \
		group_norm::moments<TYPE, N>(numbers, added, moments,                                                  \
		                             {channels, wide, places, pieces, piece, added_rows});                     \
	}                                                                                                          \
	extern "C" __global__ void group_norm_apply_##NAME(                                                        \
	    const TYPE *numbers, const TYPE *added, const group_norm::Moments *moments, const TYPE *scale,         \
	    const TYPE *shift, TYPE *results, int channels, int wide, int places, int pieces, int piece,           \
	    int added_rows, float eps, int silu) {                                                                 \
		group_norm::apply<TYPE, N>(numbers, added, moments, scale, shift, results,                             \
		                           {channels, wide, places, pieces, piece, added_rows}, eps, silu != 0);       \
	}

GROUP_NORM(half, 8, f16)
GROUP_NORM(half, 1, f16_single)
GROUP_NORM(float, 4, f32)
GROUP_NORM(float, 1, f32_single)
