"""The prompts that the model is measured with, drawn once, before training."""

import json
import random

from data import Emoji
from presets import HERE, Preset

SEED = 2026
LABELS, TAGS, PHRASES = 60, 20, 20
# A tag of more emoji than these says little.
MOST = 4


def right(prompt: dict, emoji: list[Emoji]) -> set[int]:
    """The emoji that answer a prompt."""
    text = prompt["prompt"]
    match prompt["kind"]:
        case "label":
            return {i for i, one in enumerate(emoji) if one.label == text}
        case "tag":
            return {i for i, one in enumerate(emoji) if text in [one.label, *one.tags]}
        case _:
            return {i for i, one in enumerate(emoji) if set(text.split()) <= one.words()}


def draw(emoji: list[Emoji]) -> list[dict]:
    rng = random.Random(SEED)
    prompts = [{"kind": "label", "prompt": one.label} for one in rng.sample(emoji, LABELS)]
    tags = sorted({tag for one in emoji for tag in one.tags})
    rng.shuffle(tags)
    tags = [{"kind": "tag", "prompt": tag} for tag in tags]
    prompts += [tag for tag in tags if len(right(tag, emoji)) <= MOST][:TAGS]
    phrases = [
        {"kind": "phrase", "prompt": " ".join(rng.sample(sorted(one.words()), 2))}
        for one in rng.sample([one for one in emoji if len(one.words()) > 1], 10 * PHRASES // 2)
    ]
    return prompts + [phrase for phrase in phrases if len(right(phrase, emoji)) <= MOST][:PHRASES]


def load(preset: Preset, emoji: list[Emoji]) -> list[dict]:
    """The prompts of the preset's file, which is drawn where it is missing."""
    file = HERE / f"prompts-{preset.side}.json"
    if not file.is_file():
        file.write_text(json.dumps(draw(emoji), indent=0) + "\n")
    return json.loads(file.read_text())
