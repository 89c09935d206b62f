// A graphics processor for tests, on an ordinary one: what gpu.cuh and CUDA itself give to the kernels. The
// threads of a block are fibres in one thread of the system, which run in turn from barrier to barrier.
// In which order, and when copies arrive, is the test's choice: a missing barrier changes the results.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __device__
#define __global__
// Blocks run one after the other, so what one shares can lie in one place.
#define __shared__ static
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(threads)

struct Index {
	unsigned int x, y, z;
};
extern Index threadIdx, blockIdx;

void __syncthreads();

using Word = uint32_t;

// A number in half precision: IEEE 754's binary16, rounded to the nearest, to even if there are two.
struct half {
	uint16_t bits;
};
float to_float(half number);
half to_half(float number);
Word pack(float low, float high);

float of_lane_xor(float number, int mask);
void load_matrices(Word (&words)[4], const half *row);
void load_matrices_transposed(Word (&words)[4], const half *row);
void multiply_add(float (&sums)[4], const Word (&a)[4], Word b0, Word b1);

void begin_copy(half *shared, const half *global, bool is_there);
void end_group();
void wait_for_copies_but(size_t left);
template <int LEFT> void wait_for_copies() { wait_for_copies_but(LEFT); }
