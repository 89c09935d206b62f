// The emulated processor: fibres, barriers, and what the lanes of a warp do together.
#include "gpu.h"
#include "run.h"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <ucontext.h>
#include <vector>

Index threadIdx, blockIdx;

namespace {

[[noreturn]] void fail(const char *why) {
	fprintf(stderr, "block (%u, %u, %u), thread %u: %s\n", blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, why);
	exit(1);
}

struct Barrier {
	unsigned arrived = 0, passed = 0;
};

struct Copy {
	half *to;
	const half *from;
	bool is_there;

	void carry_out() const {
		if (is_there) {
			memcpy(to, from, 16);
		} else {
			memset(to, 0, 16);
		}
	}
};

struct Fibre {
	ucontext_t context;
	std::vector<char> stack = std::vector<char>(256 << 10);
	bool done;
	// The barrier where it waits, and how often that was passed when it came.
	const Barrier *at;
	unsigned passed;
	// How many operations of its warp it has taken part in.
	unsigned operations;
	std::deque<std::vector<Copy>> groups;
};

constexpr unsigned LANES = 32;

struct Warp {
	Barrier barrier;
	// What the lanes give each other: in every second operation the other half, so that nobody overwrites
	// what a lane has still to read.
	Word words[2][LANES][8];
};

struct Block {
	std::vector<Fibre> fibres;
	std::vector<Warp> warps;
	Barrier barrier;
	ucontext_t scheduler;
	Order order;
	const std::function<void()> *kernel;
} block;

Fibre &fibre() { return block.fibres[threadIdx.x]; }

void wait(Barrier &barrier, unsigned members) {
	if (++barrier.arrived == members) {
		barrier.arrived = 0;
		++barrier.passed;
		return;
	}
	Fibre &own = fibre();
	own.at = &barrier;
	own.passed = barrier.passed;
	swapcontext(&own.context, &block.scheduler);
}

void start() {
	(*block.kernel)();
	fibre().done = true;
	swapcontext(&fibre().context, &block.scheduler);
}

// Gives words to the other lanes, and returns those of all.
const Word (*exchange(const Word *own, unsigned count))[8] {
	Warp &warp = block.warps[threadIdx.x / LANES];
	auto &words = warp.words[fibre().operations++ % 2];
	for (unsigned i = 0; i < count; ++i) {
		words[threadIdx.x % LANES][i] = own[i];
	}
	wait(warp.barrier, LANES);
	return words;
}

float half_of(Word word, unsigned which) { return to_float(half{static_cast<uint16_t>(word >> (16 * which))}); }

void load(Word (&words)[4], const half *row, bool transposed) {
	if (reinterpret_cast<uintptr_t>(row) % 16 != 0) {
		fail("a row of a matrix must lie at a multiple of 16 bytes");
	}
	Word row_words[4];
	memcpy(row_words, row, 16);
	const auto all = exchange(row_words, 4);
	const unsigned lane = threadIdx.x % LANES;
	const auto element = [&](unsigned matrix, unsigned i, unsigned j) {
		return all[matrix * 8 + i][j / 2] >> (16 * (j % 2)) & 0xffff;
	};
	for (unsigned matrix = 0; matrix < 4; ++matrix) {
		const unsigned i = lane / 4, j = lane % 4 * 2;
		const Word low = transposed ? element(matrix, j, i) : element(matrix, i, j);
		const Word high = transposed ? element(matrix, j + 1, i) : element(matrix, i, j + 1);
		words[matrix] = low | high << 16;
	}
}

} // namespace

void __syncthreads() { wait(block.barrier, block.fibres.size()); }

float to_float(half number) {
	const unsigned exponent = number.bits >> 10 & 31, fraction = number.bits & 1023;
	float size;
	if (exponent == 31) {
		size = fraction ? NAN : INFINITY;
	} else if (exponent == 0) {
		size = ldexpf(fraction, -24);
	} else {
		size = ldexpf(1024 + fraction, static_cast<int>(exponent) - 25);
	}
	return number.bits >> 15 ? -size : size;
}

half to_half(float number) {
	const uint16_t sign = std::signbit(number) ? 0x8000 : 0;
	const float size = fabsf(number);
	if (std::isnan(number)) {
		return {0x7fff};
	}
	// 65520 is half way to what would be the next number after the largest.
	if (size >= 65520) {
		return {static_cast<uint16_t>(sign | 0x7c00)};
	}
	if (size == 0) {
		return {sign};
	}
	int exponent;
	frexpf(size, &exponent);
	// In units of the last of eleven bits, or of the smallest number.
	exponent = exponent < -13 ? -24 : exponent - 11;
	const unsigned units = nearbyintf(ldexpf(size, -exponent));
	// A carry out of the fraction goes to the exponent, as it should.
	return {static_cast<uint16_t>(sign | ((exponent + 24) * 1024 + units))};
}

Word pack(float low, float high) { return to_half(low).bits | static_cast<Word>(to_half(high).bits) << 16; }

float of_lane_xor(float number, int mask) {
	Word word;
	memcpy(&word, &number, 4);
	word = exchange(&word, 1)[threadIdx.x % LANES ^ mask][0];
	memcpy(&number, &word, 4);
	return number;
}

void load_matrices(Word (&words)[4], const half *row) { load(words, row, false); }
void load_matrices_transposed(Word (&words)[4], const half *row) { load(words, row, true); }

void multiply_add(float (&sums)[4], const Word (&a)[4], Word b0, Word b1) {
	const Word own[6] = {a[0], a[1], a[2], a[3], b0, b1};
	const auto all = exchange(own, 6);
	const unsigned lane = threadIdx.x % LANES;
	for (unsigned i = 0; i < 4; ++i) {
		const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
		for (unsigned k = 0; k < 16; ++k) {
			const Word left = all[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
			const Word right = all[column * 4 + k % 8 / 2][4 + k / 8];
			sums[i] += half_of(left, k % 2) * half_of(right, k % 2);
		}
	}
}

void begin_copy(half *shared, const half *global, bool is_there) {
	if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 || reinterpret_cast<uintptr_t>(global) % 16 != 0) {
		fail("copies must begin at multiples of 16 bytes");
	}
	const Copy copy = {shared, global, is_there};
	if (block.order == Order::FORWARDS) {
		copy.carry_out();
	} else {
		fibre().groups.back().push_back(copy);
	}
}

void end_group() { fibre().groups.emplace_back(); }

void wait_for_copies_but(size_t left) {
	auto &groups = fibre().groups;
	// The last is not ended.
	while (groups.size() > left + 1) {
		for (const Copy &copy : groups.front()) {
			copy.carry_out();
		}
		groups.pop_front();
	}
}

void run_block(Index index, unsigned threads, Order order, const std::function<void()> &kernel) {
	blockIdx = index;
	block.order = order;
	block.kernel = &kernel;
	block.barrier = {};
	block.fibres.resize(threads);
	block.warps.assign((threads + LANES - 1) / LANES, {});
	for (Fibre &fibre : block.fibres) {
		fibre.done = false;
		fibre.at = nullptr;
		fibre.operations = 0;
		fibre.groups.assign(1, {});
		getcontext(&fibre.context);
		fibre.context.uc_stack.ss_sp = fibre.stack.data();
		fibre.context.uc_stack.ss_size = fibre.stack.size();
		makecontext(&fibre.context, start, 0);
	}
	for (unsigned left = threads; left > 0;) {
		bool moved = false;
		for (unsigned i = 0; i < threads; ++i) {
			threadIdx = {order == Order::FORWARDS ? i : threads - 1 - i, 0, 0};
			Fibre &next = fibre();
			if (next.done || (next.at && next.at->passed == next.passed)) {
				continue;
			}
			next.at = nullptr;
			swapcontext(&block.scheduler, &next.context);
			moved = true;
			left -= next.done;
		}
		if (!moved) {
			fail("threads wait at a barrier to which others do not come");
		}
	}
}
