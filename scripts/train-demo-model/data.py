"""The training data: Microsoft's Fluent emoji in 3D, with the words that emojibase has for them.

Both are packages of npm. Neither is part of this repository: they are fetched into the cache folder.
"""

import json
import random
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from presets import Preset

PICTURES = "@lobehub/fluent-emoji-3d@1.1.0"
WORDS = "emojibase-data@17.0.0"


@dataclass
class Emoji:
    """One picture and what it is called."""

    label: str
    tags: list[str]
    # (3, side, side), -1 to 1.
    picture: torch.Tensor = field(repr=False)

    def words(self) -> set[str]:
        """All single words of the label and the tags."""
        return {word for text in [self.label, *self.tags] for word in text.split()}


def package(name: str, cache: Path) -> Path:
    """The folder of a package of npm, which is fetched where it is missing."""
    folder = cache / name.replace("/", "-").lstrip("@")
    if not folder.is_dir():
        packed = subprocess.run(
            ["npm", "pack", name, "--json", "--pack-destination", str(cache)],
            check=True, stdout=subprocess.PIPE, text=True,
        )
        archive = cache / json.loads(packed.stdout)[0]["filename"].replace("/", "-").lstrip("@")
        unfinished = cache / f"{folder.name}.unfinished"
        with tarfile.open(archive) as tar:
            tar.extractall(unfinished, filter="data")
        unfinished.rename(folder)
        archive.unlink()
    return folder / "package"


def find_picture(folder: Path, hexcode: str) -> Path | None:
    """The file of an emoji: its name has the variation selector FE0F or not, as it happens."""
    code = hexcode.lower()
    for name in [code, f"{code}-fe0f", code.replace("-fe0f", "")]:
        if (folder / f"{name}.webp").is_file():
            return folder / f"{name}.webp"
    return None


def read_picture(path: Path, side: int) -> torch.Tensor:
    """A picture on white, -1 to 1, as (3, side, side)."""
    picture = Image.open(path).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    picture = Image.alpha_composite(white, picture).convert("RGB")
    picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1


def load(preset: Preset, cache: Path) -> list[Emoji]:
    """The emoji of a preset, in the order of Unicode."""
    cache.mkdir(parents=True, exist_ok=True)
    pictures = package(PICTURES, cache) / "assets"
    entries = json.loads((package(WORDS, cache) / "en" / "data.json").read_text())
    wanted = None
    if preset.labels is not None:
        wanted = set(preset.labels.read_text().split("\n")) - {""}
    emoji, found = [], set()
    for entry in sorted(entries, key=lambda entry: entry.get("order", 0)):
        # With no group, it is a part of emoji and none by itself.
        if "group" not in entry or (wanted is not None and entry["label"] not in wanted):
            continue
        for variant in [entry, *(entry.get("skins", []) if wanted is None else [])]:
            path = find_picture(pictures, variant["hexcode"])
            if path is None:
                continue
            label = clean(variant["label"])
            tags = [clean(tag) for tag in entry.get("tags", [])]
            tags = [tag for tag in tags if tag.replace(" ", "").isalpha() and tag != label]
            emoji.append(Emoji(label, tags, read_picture(path, preset.side)))
            found.add(variant["label"])
    if wanted is not None and wanted - found:
        raise SystemExit(f"no picture for {sorted(wanted - found)}")
    return emoji


def clean(text: str) -> str:
    """Lower case, and no punctuation but what belongs to a word."""
    return text.lower().replace(":", "").replace(",", "").replace("’", "'")


BEFORE = ["a {}", "the {}", "one {}", "a picture of a {}", "a picture of {}", "a photo of a {}",
          "an emoji of a {}", "{} emoji", "a drawing of a {}", "an image of a {}", "a small {}",
          "a {} on white", "{}, 3d"]


def caption(emoji: Emoji, rng: random.Random) -> str:
    """Words for a picture, drawn anew each time it is trained on: the label, often in a phrase; tags;
    two words. One in ten is empty, for guidance."""
    draw = rng.random()
    if draw < 0.10:
        return ""
    if draw < 0.35:
        return emoji.label
    if draw < 0.55:
        return phrase(emoji.label, rng)
    if draw < 0.65:
        words = emoji.label.split()
        if len(words) == 2 and rng.random() < 0.5:
            return f"a {words[1]} that is {words[0]}"
        rng.shuffle(words)
        return " ".join(words)
    if not emoji.tags:
        return emoji.label
    if draw < 0.80:
        tag = rng.choice(emoji.tags)
        return tag if rng.random() < 0.7 else phrase(tag, rng)
    return " ".join(rng.sample(sorted(emoji.words()), 2)) if len(emoji.words()) > 1 else emoji.label


def phrase(words: str, rng: random.Random) -> str:
    text = rng.choice(BEFORE).format(words)
    for article in ["a ", "A "]:
        for vowel in "aeiou":
            text = text.replace(f" {article}{vowel}", f" {article.strip()}n {vowel}")
    return f"an {text[2:]}" if text[:2] == "a " and text[2] in "aeiou" else text
