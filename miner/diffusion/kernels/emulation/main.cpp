// Runs one of the kernels on the emulated processor. Reads from the standard input what to run, all in
// this machine's byte order: the kernel's name, the blocks in x, y and z, the threads of a block, the
// buffers, and the numbers that come after them as arguments; texts, buffers and lists have their length
// before them, all in 32 bits. Writes the buffers, as they are afterwards, to the standard output.
#include "../attention.cu"
#include "../group_norm.cu"
#include "../pointwise.cu"
#include "run.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <sys/mman.h>
#include <vector>

namespace {

[[noreturn]] void fail(const std::string &why) {
	fprintf(stderr, "%s\n", why.c_str());
	exit(1);
}

void read(void *to, size_t bytes) {
	if (fread(to, 1, bytes, stdin) != bytes) {
		fail("the input ends too early");
	}
}

uint32_t read_number() {
	uint32_t number;
	read(&number, sizeof number);
	return number;
}

// A buffer that ends where memory ends: the first access beyond it kills the program.
class Buffer {
public:
	explicit Buffer(const std::vector<char> &content) : size(content.size()) {
		const size_t page = 4096, pages = (size + page - 1) / page * page;
		void *memory = mmap(nullptr, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED || mprotect(static_cast<char *>(memory) + pages, page, PROT_NONE) != 0) {
			fail("no memory for a buffer");
		}
		// Vectors need the alignment that a GPU's allocator gives.
		first = static_cast<char *>(memory) + (pages - (size + 15) / 16 * 16);
		std::copy(content.begin(), content.end(), first);
	}

	char *first;
	size_t size;
};

using Kernel = std::function<void(void *const *)>;

template <typename... Arguments, size_t... I>
Kernel calling(void (*kernel)(Arguments...), std::index_sequence<I...>) {
	return [kernel](void *const *arguments) { kernel(*static_cast<Arguments *>(arguments[I])...); };
}

// As the driver calls it: with the address of each argument.
template <typename... Arguments> Kernel calling(void (*kernel)(Arguments...)) {
	return calling(kernel, std::index_sequence_for<Arguments...>{});
}

#define KERNEL(NAME) {#NAME, calling(NAME)}

const std::map<std::string, Kernel> KERNELS = {
    KERNEL(group_norm_moments_f16),
    KERNEL(group_norm_moments_f16_single),
    KERNEL(group_norm_moments_f32),
    KERNEL(group_norm_moments_f32_single),
    KERNEL(group_norm_apply_f16),
    KERNEL(group_norm_apply_f16_single),
    KERNEL(group_norm_apply_f32),
    KERNEL(group_norm_apply_f32_single),
    KERNEL(add_f16),
    KERNEL(add_f16_single),
    KERNEL(add_f32),
    KERNEL(add_f32_single),
    KERNEL(geglu_f16),
    KERNEL(geglu_f16_single),
    KERNEL(geglu_f32),
    KERNEL(geglu_f32_single),
    KERNEL(attention_48),
    KERNEL(attention_64),
    KERNEL(attention_80),
    KERNEL(attention_128),
    KERNEL(attention_160),
};

} // namespace

int main() {
	std::string name(read_number(), ' ');
	read(name.data(), name.size());
	const auto kernel = KERNELS.find(name);
	if (kernel == KERNELS.end()) {
		fail("there is no kernel " + name);
	}
	Index blocks;
	read(&blocks, sizeof blocks);
	const uint32_t threads = read_number();
	std::vector<std::vector<char>> contents(read_number());
	for (auto &content : contents) {
		content.resize(read_number());
		read(content.data(), content.size());
	}
	std::vector<uint32_t> numbers(read_number());
	read(numbers.data(), numbers.size() * sizeof numbers[0]);

	const auto run = [&](Order order) {
		std::vector<Buffer> buffers(contents.begin(), contents.end());
		std::vector<void *> arguments;
		for (Buffer &buffer : buffers) {
			arguments.push_back(&buffer.first);
		}
		for (uint32_t &number : numbers) {
			arguments.push_back(&number);
		}
		for (unsigned z = 0; z < blocks.z; ++z) {
			for (unsigned y = 0; y < blocks.y; ++y) {
				for (unsigned x = 0; x < blocks.x; ++x) {
					run_block({x, y, z}, threads, order, [&] { kernel->second(arguments.data()); });
				}
			}
		}
		std::vector<std::vector<char>> results;
		for (const Buffer &buffer : buffers) {
			results.emplace_back(buffer.first, buffer.first + buffer.size);
		}
		return results;
	};
	const auto results = run(Order::FORWARDS);
	if (results != run(Order::BACKWARDS)) {
		fail("the result depends on the order of the threads: a barrier is missing");
	}
	for (const auto &result : results) {
		if (!result.empty()) {
			fwrite(result.data(), 1, result.size(), stdout);
		}
	}
}
