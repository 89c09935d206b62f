"""Writes the model in the layout of diffusers, in half precision."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionPipeline

import denoiser
import text
import vae
from presets import Preset

NOTICE = "a small model that remembers emoji: it draws one of them, on white, and composes nothing"
# Some hosts of repositories refuse larger files.
LARGEST_FILE = "16MB"


def write(preset: Preset, emoji, work: Path, out: Path):
    """Writes the averages of the three checkpoints; a model card in `out` stays."""
    words, text_encoder = text.load(preset, emoji, work)
    autoencoder = vae.load(preset, work)
    autoencoder.register_to_config(scaling_factor=scaling_factor(autoencoder, emoji))
    pipeline = StableDiffusionPipeline(
        vae=autoencoder, text_encoder=text_encoder, tokenizer=words, unet=denoiser.load(preset, work),
        scheduler=EulerAncestralDiscreteScheduler(
            num_train_timesteps=1000, beta_start=0.0001, beta_end=0.02, beta_schedule="linear",
            prediction_type="v_prediction", timestep_spacing="trailing", steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, image_encoder=None, requires_safety_checker=False,
    ).to(dtype=torch.float16)
    for part in ["text_encoder", "tokenizer", "unet", "vae", "scheduler"]:
        shutil.rmtree(out / part, ignore_errors=True)
    pipeline.save_pretrained(out, max_shard_size=LARGEST_FILE)
    index = json.loads((out / "model_index.json").read_text())
    index = {**index, "_notice": NOTICE, "_trained": True}
    (out / "model_index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: {size / 1e6:.1f} MB", flush=True)


def scaling_factor(autoencoder, emoji) -> float:
    """What gives the training pictures' latents a deviation of one."""
    latents = vae.encode(autoencoder, torch.stack([one.picture for one in emoji]))
    return float(1 / latents.std())
