"""The noise of our own renderer (miner/diffusion/src/denoising/noise.rs): ChaCha20 with the seed as key,
stream 0 for the start and one stream for each step, made normal by Box and Muller."""

import math

import numpy as np

CONSTANTS = np.frombuffer(b"expand 32-byte k", dtype="<u4")


def blocks(seed: int, stream: int, count: int) -> np.ndarray:
    """`count` blocks of ChaCha20 (Bernstein 2008), as 16 words of 32 bits each."""
    state = np.zeros((16, count), dtype=np.uint32)
    state[:4] = CONSTANTS[:, None]
    state[4], state[5] = seed % 2**32, seed >> 32
    counter = np.arange(count, dtype=np.uint64)
    state[12], state[13] = counter % 2**32, counter >> np.uint64(32)
    state[14], state[15] = stream % 2**32, stream >> 32
    words = state.copy()

    def turn(target, added, other, bits):
        words[target] += words[added]
        mixed = words[other] ^ words[target]
        words[other] = (mixed << np.uint32(bits)) | (mixed >> np.uint32(32 - bits))

    for _ in range(10):
        for shift in [0, 1]:
            for column in range(4):
                a, b, c, d = (4 * row + (column + shift * row) % 4 for row in range(4))
                turn(a, b, d, 16)
                turn(c, d, b, 12)
                turn(a, b, d, 8)
                turn(c, d, b, 7)
    return (words + state).T


def normal(seed: int, stream: int, count: int) -> np.ndarray:
    """`count` standard normal numbers of a stream, in single precision."""
    # A pair of numbers takes two of 64 bits; a block has eight.
    words = blocks(seed, stream, math.ceil(count / 8)).reshape(-1).astype(np.uint64)
    numbers = words[0::2] | (words[1::2] << np.uint64(32))
    uniform = (numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2 * np.log(uniform[0::2] + 2.0**-53))
    angle = 2 * math.pi * uniform[1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.reshape(-1)[:count].astype(np.float32)
