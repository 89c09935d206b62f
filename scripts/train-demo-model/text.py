"""The text encoder, of CLIP's shape. It learns first, and alone, which picture a caption is for; so the
denoiser has something to look at from its first step on."""

from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import tokenizer
from checkpoint import trained
from data import Emoji
from presets import Preset


def build(preset: Preset, words: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=preset.text_width,
            intermediate_size=4 * preset.text_width,
            num_hidden_layers=preset.text_layers,
            num_attention_heads=4,
            max_position_embeddings=preset.positions,
            hidden_act="quick_gelu",
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )


class Reader(torch.nn.Module):
    """A text encoder and what says, from each of its states, which of the pictures is meant."""

    def __init__(self, preset: Preset, words: CLIPTokenizer, pictures: int):
        super().__init__()
        self.text_encoder = build(preset, words)
        self.choice = torch.nn.Linear(preset.text_width, pictures)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.choice(self.text_encoder(ids).last_hidden_state)


def load(preset: Preset, emoji: list[Emoji], work: Path) -> tuple[CLIPTokenizer, CLIPTextModel]:
    """The tokenizer and the trained text encoder."""
    words = tokenizer.build(preset, emoji)
    reader = Reader(preset, words, len(emoji))
    reader.load_state_dict(trained(work / "text.pt"))
    return words, reader.text_encoder.eval()


def loss(reader: Reader, ids: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Cross-entropy at all states that have seen the whole caption: from the first end mark on."""
    ends = ids == reader.text_encoder.config.eos_token_id
    answers = pictures[:, None].expand_as(ids)
    return F.cross_entropy(reader(ids)[ends], answers[ends])
