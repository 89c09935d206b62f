// How the emulated processor runs blocks.
#pragma once

#include "gpu.h"

#include <functional>

enum class Order {
	// Threads by rising index, copies arrive at once.
	FORWARDS,
	// Threads by falling index, copies arrive when they are waited for.
	BACKWARDS,
};

// Runs a kernel for all threads of a block. Ends the program when they wait for each other for ever.
void run_block(Index index, unsigned threads, Order order, const std::function<void()> &kernel);
