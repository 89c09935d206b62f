"""Sizes of the model and lengths of its training."""

from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Preset:
    """Everything that differs between a model for the CPU and one for a GPU."""

    # Pixels of a side.
    side: int
    # File with the labels of the emoji, one a line; None means all emoji and their skin tones.
    labels: Path | None
    vae_channels: tuple[int, ...]
    vae_groups: int
    vae_batch: int
    vae_steps: int
    text_batch: int
    text_steps: int
    unet_channels: tuple[int, ...]
    # Whether a level looks at the text, from the finest to the coarsest.
    unet_attention: tuple[bool, ...]
    unet_rate: float
    unet_batch: int
    unet_steps: int
    text_width: int
    text_layers: int
    # Tokens of a prompt, the marks at both ends included.
    positions: int
    # Entries of the tokenizer, at most.
    vocabulary: int

    def with_steps(self, vae: int | None, text: int | None, unet: int | None) -> "Preset":
        """The same with other lengths of training, where they are given."""
        return replace(
            self, vae_steps=vae or self.vae_steps, text_steps=text or self.text_steps,
            unet_steps=unet or self.unet_steps,
        )


PRESETS = {
    # About an hour of two CPU cores.
    "64": Preset(
        side=64,
        labels=HERE / "labels-64.txt",
        vae_channels=(16, 32, 64, 64),
        # Four channels and more in a group: alone, a channel would lose its mean, and so the colours.
        vae_groups=4,
        vae_batch=4,
        vae_steps=4000,
        text_batch=128,
        text_steps=1500,
        unet_channels=(64, 128),
        unet_attention=(False, True),
        unet_rate=1e-3,
        unet_batch=32,
        unet_steps=4500,
        text_width=128,
        text_layers=3,
        positions=16,
        vocabulary=4000,
    ),
    # For a GPU.
    "128": Preset(
        side=128,
        labels=None,
        vae_channels=(32, 64, 128, 128),
        vae_groups=8,
        vae_batch=64,
        vae_steps=20_000,
        text_batch=256,
        text_steps=10_000,
        unet_channels=(96, 192, 256),
        unet_attention=(True, True, True),
        unet_rate=3e-4,
        unet_batch=512,
        unet_steps=60_000,
        text_width=192,
        text_layers=4,
        positions=32,
        vocabulary=4000,
    ),
}
