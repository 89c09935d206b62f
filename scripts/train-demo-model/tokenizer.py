"""The tokenizer: byte pairs in CLIP's way, from the words of the captions."""

import itertools
import random
from collections import Counter

import torch
from transformers import CLIPTokenizer

import data
from presets import Preset

START, END = "<|startoftext|>", "<|endoftext|>"
# Marks the last letter of a word.
LAST = "</w>"


def letters() -> list[str]:
    """The letters that stand for the 256 bytes: the printable ones for themselves (as in GPT-2)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(rest))]


def pairs(words: Counter, most: int) -> list[tuple[str, str]]:
    """The pairs that are merged, the most frequent first, until every word is one token or there are
    `most`."""
    split = {word: [*word[:-1], word[-1] + LAST] for word in words}
    merges = []
    while len(merges) < most:
        counts = Counter()
        for word, parts in split.items():
            for pair in itertools.pairwise(parts):
                counts[pair] += words[word]
        if not counts:
            break
        # The same on every machine, where several are as frequent.
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        for parts in split.values():
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = ["".join(best)]
                i += 1
    return merges


def build(preset: Preset, emoji: list[data.Emoji]) -> CLIPTokenizer:
    words = Counter()
    rng = random.Random(0)
    for one in emoji:
        texts = [one.label, *one.tags, *(data.caption(one, rng) for _ in range(50))]
        for word in " ".join(texts).split():
            if word.isascii() and word.isalpha():
                words[word] += 1
    alphabet = letters()
    first = [*alphabet, *(letter + LAST for letter in alphabet)]
    merges = pairs(words, preset.vocabulary - len(first) - 2)
    tokens = dict.fromkeys([*first, *("".join(pair) for pair in merges), START, END])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(
        vocab=vocabulary, merges=merges, unk_token=END, bos_token=START, eos_token=END, pad_token=END,
        model_max_length=preset.positions,
    )


def encode(tokenizer: CLIPTokenizer, captions: list[str], positions: int) -> torch.Tensor:
    """(captions, positions) ids: the start mark, the words, the end mark, padding with end marks."""
    return tokenizer(
        captions, padding="max_length", truncation=True, max_length=positions, return_tensors="pt"
    ).input_ids
