// What the kernels need beyond plain CUDA: numbers in half precision, and the instructions that a warp's 32
// lanes carry out together. Without nvcc, emulation/gpu.h has the same for an ordinary processor, so that
// the kernels are tested where there is no GPU.
#pragma once

#ifdef __CUDACC__

#include <cuda_fp16.h>

using Word = unsigned int;

__device__ inline float to_float(half number) { return __half2float(number); }
__device__ inline half to_half(float number) { return __float2half_rn(number); }

// The numbers rounded to halves in one word, the first in its low bits.
__device__ inline Word pack(float low, float high) {
	const half2 both = __floats2half2_rn(low, high);
	return *reinterpret_cast<const Word *>(&both);
}

// The number of the lane whose index differs from this one's in the bits of `mask`.
__device__ inline float of_lane_xor(float number, int mask) { return __shfl_xor_sync(~0u, number, mask); }

__device__ inline Word shared_address(const half *shared) {
	return static_cast<Word>(__cvta_generic_to_shared(shared));
}

// Four matrices of 8 × 8 halves. Lane 8m + i points to row i of matrix m; each lane gets of each matrix, in
// one word, elements 2(lane mod 4) and the next of row lane / 4.
__device__ inline void load_matrices(Word (&words)[4], const half *row) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
	             : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
	             : "r"(shared_address(row))
	             : "memory");
}

// The same of the transposed matrices.
__device__ inline void load_matrices_transposed(Word (&words)[4], const half *row) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
	             : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
	             : "r"(shared_address(row))
	             : "memory");
}

// sums += a × b for matrices of 16 × 16 and 16 × 8 halves, spread over the lanes as the PTX manual says of
// mma.m16n8k16. With g = lane / 4 and t = 2(lane mod 4), a lane has of `a` the pairs from (g, t), (g + 8, t),
// (g, t + 8), (g + 8, t + 8), of `b` those down from (t, g) and (t + 8, g), of `sums` those from (g, t)
// and (g + 8, t).
__device__ inline void multiply_add(float (&sums)[4], const Word (&a)[4], Word b0, Word b1) {
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
	             "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	             : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
	             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Begins to copy 16 bytes to shared memory, or zeros if there are none to copy. Both addresses are multiples
// of 16.
__device__ inline void begin_copy(half *shared, const half *global, bool is_there) {
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
	             "r"(is_there ? 16 : 0)
	             : "memory");
}

// Ends a group of copies.
__device__ inline void end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until of this thread's groups at most the last `LEFT` are not copied.
template <int LEFT> __device__ inline void wait_for_copies() {
	asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

#else
#include "emulation/gpu.h"
#endif

__device__ inline float to_float(float number) { return number; }

template <typename T> __device__ inline T from_float(float number);
template <> __device__ inline float from_float(float number) { return number; }
template <> __device__ inline half from_float(float number) { return to_half(number); }

// So many numbers that are read and written at once.
template <typename T, int N> struct alignas(N * sizeof(T)) Vector {
	T numbers[N];

	__device__ static Vector load(const T *from) { return *reinterpret_cast<const Vector *>(from); }
	__device__ void store(T *to) const { *reinterpret_cast<Vector *>(to) = *this; }
};
