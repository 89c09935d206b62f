// Attention of several heads, softmax(Q Kᵀ / √dim) V, in half precision with sums in single, on tensor cores.
// The scores stay in registers: a warp goes through the keys with a running maximum and sum of each row
// (Dao 2023, FlashAttention-2).
#include "gpu.cuh"

namespace attention {

constexpr int WARPS = 4;
constexpr int THREADS = 32 * WARPS;

// How queries, keys and values lie: (batch, places, heads, dim), all heads of a place side by side.
struct Sizes {
	int queries, keys, heads, dim;
};

// Begins to copy KEYS rows of a head from `row` on, and zeros where there are none, to rows of DIM + 8
// halves: with the 8, the rows that are read at once lie in different banks.
template <int DIM, int KEYS>
__device__ inline void begin_rows(half *shared, const half *head, int row, const Sizes &sizes) {
	constexpr int PARTS = DIM / 8;
	for (int part = threadIdx.x; part < KEYS * PARTS; part += THREADS) {
		const int i = part / PARTS, column = part % PARTS * 8;
		const bool is_there = row + i < sizes.keys && column < sizes.dim;
		const long long at = static_cast<long long>(row + i) * sizes.heads * sizes.dim + column;
		begin_copy(shared + i * (DIM + 8) + column, is_there ? head + at : head, is_there);
	}
}

// Two halves of a row of queries, zeros where there are none.
__device__ inline Word query_pair(const half *head, int row, int column, const Sizes &sizes) {
	if (row >= sizes.queries || column >= sizes.dim) {
		return 0;
	}
	const long long at = static_cast<long long>(row) * sizes.heads * sizes.dim + column;
	return *reinterpret_cast<const Word *>(head + at);
}

// The largest or the sum of the numbers that four lanes have of a row.
__device__ inline float row_largest(float number) {
	number = fmaxf(number, of_lane_xor(number, 1));
	return fmaxf(number, of_lane_xor(number, 2));
}
__device__ inline float row_sum(float number) {
	number += of_lane_xor(number, 1);
	return number + of_lane_xor(number, 2);
}

// For heads of up to DIM numbers, a multiple of 8. A warp takes TILES × 16 queries, and KEYS keys at a time.
// A block is for one head (y) of one picture (z). `factor` is log₂e / √dim.
template <int DIM, int TILES, int KEYS>
__device__ void attention(const half *queries, const half *keys, const half *values, half *results,
                          const Sizes &sizes, float factor) {
	constexpr int ROW = DIM + 8;
	__shared__ __align__(16) half shared_keys[2][KEYS * ROW];
	__shared__ __align__(16) half shared_values[2][KEYS * ROW];

	const int lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4 * 2;
	const int first_query = (blockIdx.x * WARPS + threadIdx.x / 32) * TILES * 16;
	const long long width = static_cast<long long>(sizes.heads) * sizes.dim;
	const half *query_head = queries + blockIdx.z * sizes.queries * width + blockIdx.y * sizes.dim;
	const half *key_head = keys + blockIdx.z * sizes.keys * width + blockIdx.y * sizes.dim;
	const half *value_head = values + blockIdx.z * sizes.keys * width + blockIdx.y * sizes.dim;

	begin_rows<DIM, KEYS>(shared_keys[0], key_head, 0, sizes);
	begin_rows<DIM, KEYS>(shared_values[0], value_head, 0, sizes);
	end_group();

	Word query_words[TILES][DIM / 16][4];
	for (int tile = 0; tile < TILES; ++tile) {
#pragma unroll
		for (int k = 0; k < DIM / 16; ++k) {
			for (int i = 0; i < 4; ++i) {
				const int row = first_query + tile * 16 + group + i % 2 * 8;
				query_words[tile][k][i] = query_pair(query_head, row, k * 16 + pair + i / 2 * 8, sizes);
			}
		}
	}

	// Of the two rows that a lane has numbers of in each tile.
	float largest[TILES][2], sums[TILES][2], seen[TILES][DIM / 8][4];
#pragma unroll
	for (int tile = 0; tile < TILES; ++tile) {
		for (int row = 0; row < 2; ++row) {
			largest[tile][row] = -INFINITY;
			sums[tile][row] = 0;
		}
#pragma unroll
		for (int n = 0; n < DIM / 8; ++n) {
			for (int i = 0; i < 4; ++i) {
				seen[tile][n][i] = 0;
			}
		}
	}

	const int steps = (sizes.keys + KEYS - 1) / KEYS;
	for (int step = 0; step < steps; ++step) {
		// Now the step's keys and values are there, and nobody reads those of the step before.
		wait_for_copies<0>();
		__syncthreads();
		if (step + 1 < steps) {
			begin_rows<DIM, KEYS>(shared_keys[(step + 1) % 2], key_head, (step + 1) * KEYS, sizes);
			begin_rows<DIM, KEYS>(shared_values[(step + 1) % 2], value_head, (step + 1) * KEYS, sizes);
			end_group();
		}

		float scores[TILES][KEYS / 8][4];
#pragma unroll
		for (int tile = 0; tile < TILES; ++tile) {
#pragma unroll
			for (int n = 0; n < KEYS / 8; ++n) {
				for (int i = 0; i < 4; ++i) {
					scores[tile][n][i] = 0;
				}
			}
		}
		const half *key_rows = shared_keys[step % 2] + (lane / 16 * 8 + lane % 8) * ROW + lane / 8 % 2 * 8;
#pragma unroll
		for (int k = 0; k < DIM / 16; ++k) {
#pragma unroll
			for (int n = 0; n < KEYS / 16; ++n) {
				Word words[4];
				load_matrices(words, key_rows + n * 16 * ROW + k * 16);
#pragma unroll
				for (int tile = 0; tile < TILES; ++tile) {
					multiply_add(scores[tile][2 * n], query_words[tile][k], words[0], words[1]);
					multiply_add(scores[tile][2 * n + 1], query_words[tile][k], words[2], words[3]);
				}
			}
		}

		// Beyond the last key nothing is seen.
		const int left = sizes.keys - step * KEYS;
#pragma unroll
		for (int tile = 0; tile < TILES; ++tile) {
			float largest_now[2] = {largest[tile][0], largest[tile][1]};
#pragma unroll
			for (int n = 0; n < KEYS / 8; ++n) {
				for (int i = 0; i < 4; ++i) {
					if (n * 8 + pair + i % 2 >= left) {
						scores[tile][n][i] = -INFINITY;
					}
					largest_now[i / 2] = fmaxf(largest_now[i / 2], scores[tile][n][i]);
				}
			}
			for (int row = 0; row < 2; ++row) {
				largest_now[row] = row_largest(largest_now[row]);
				const float shrunk = exp2f((largest[tile][row] - largest_now[row]) * factor);
				largest[tile][row] = largest_now[row];
				sums[tile][row] *= shrunk;
#pragma unroll
				for (int n = 0; n < DIM / 8; ++n) {
					seen[tile][n][2 * row] *= shrunk;
					seen[tile][n][2 * row + 1] *= shrunk;
				}
			}
#pragma unroll
			for (int n = 0; n < KEYS / 8; ++n) {
				for (int i = 0; i < 4; ++i) {
					const float share = exp2f((scores[tile][n][i] - largest[tile][i / 2]) * factor);
					scores[tile][n][i] = share;
					sums[tile][i / 2] += share;
				}
			}
		}

		const half *value_rows =
		    shared_values[step % 2] + (lane / 8 % 2 * 8 + lane % 8) * ROW + lane / 16 * 8;
#pragma unroll
		for (int k = 0; k < KEYS / 16; ++k) {
			// As sums of the first product lie in the lanes, so must the left matrix of the second.
			Word shares[TILES][4];
#pragma unroll
			for (int tile = 0; tile < TILES; ++tile) {
				for (int i = 0; i < 4; ++i) {
					const float *both = &scores[tile][2 * k + i / 2][i % 2 * 2];
					shares[tile][i] = pack(both[0], both[1]);
				}
			}
#pragma unroll
			for (int n = 0; n < DIM / 16; ++n) {
				Word words[4];
				load_matrices_transposed(words, value_rows + k * 16 * ROW + n * 16);
#pragma unroll
				for (int tile = 0; tile < TILES; ++tile) {
					multiply_add(seen[tile][2 * n], shares[tile], words[0], words[1]);
					multiply_add(seen[tile][2 * n + 1], shares[tile], words[2], words[3]);
				}
			}
		}
	}

	half *result_head = results + blockIdx.z * sizes.queries * width + blockIdx.y * sizes.dim;
#pragma unroll
	for (int tile = 0; tile < TILES; ++tile) {
		for (int row = 0; row < 2; ++row) {
			const float inverse = 1.0f / row_sum(sums[tile][row]);
			const int query = first_query + tile * 16 + group + row * 8;
#pragma unroll
			for (int n = 0; n < DIM / 8; ++n) {
				if (query < sizes.queries && n * 8 < sizes.dim) {
					const float *both = &seen[tile][n][2 * row];
					*reinterpret_cast<Word *>(result_head + query * width + n * 8 + pair) =
					    pack(both[0] * inverse, both[1] * inverse);
				}
			}
		}
	}
}

} // namespace attention

#define ATTENTION(DIM, TILES, KEYS)                                                                            \
	extern "C" __global__ void __launch_bounds__(attention::THREADS)                                           \
	    attention_##DIM(const half *queries, const half *keys, const half *values, half *results, int count,   \
	                    int key_count, int heads, int dim, float factor) {                                     \
		attention::attention<DIM, TILES, KEYS>(queries, keys, values, results, {count, key_count, heads, dim}, \
		                                       factor);                                                        \
	}

ATTENTION(48, 2, 64)
ATTENTION(64, 2, 32)
ATTENTION(80, 1, 64)
ATTENTION(128, 1, 32)
ATTENTION(160, 1, 32)
