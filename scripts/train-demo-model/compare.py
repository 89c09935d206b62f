"""Compares the pictures of our renderer with those of diffusers: the same model, noise and sampler.

compare.py RENDER MODEL    RENDER is the program of miner/diffusion/examples/render.rs
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
)
from diffusers.schedulers import scheduling_euler_ancestral_discrete
from PIL import Image

import noise
import vae

PROMPTS = ["fire", "red apple", "cat face", "rocket", "a picture of a cat face", "zqx, naïve 小鳥"]
SAMPLERS = {"Euler": EulerDiscreteScheduler, "Euler a": EulerAncestralDiscreteScheduler}
# The seed, the steps and the guidance of the program.
SEED, STEPS, GUIDANCE = 1, 20, 7.5
LEAST = 0.99


class Noise:
    """Takes the place of diffusers' `randn_tensor`, for the noise that is added in each step."""

    def __init__(self):
        self.step = 0

    def __call__(self, shape, **_):
        self.step += 1
        return unit(self.step, tuple(shape))


def unit(stream: int, shape) -> torch.Tensor:
    return torch.from_numpy(noise.normal(SEED, stream, int(np.prod(shape))).reshape(shape))


def theirs(pipeline, sampler: str, prompt: str) -> torch.Tensor:
    pipeline.scheduler = SAMPLERS[sampler].from_config(pipeline.scheduler.config)
    scheduling_euler_ancestral_discrete.randn_tensor = Noise()
    side = pipeline.unet.config.sample_size
    picture = pipeline(
        prompt, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
        latents=unit(0, (1, 4, side, side)), output_type="np",
    ).images[0]
    return torch.from_numpy(picture)


def ours(render: str, model: str, sampler: str, prompt: str, side: int) -> torch.Tensor:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.png"
        options = [str(side), str(STEPS), "cpu", sampler]
        subprocess.run([render, model, prompt, str(file), *options], check=True, stdout=subprocess.DEVNULL)
        return torch.from_numpy(np.array(Image.open(file).convert("RGB")) / np.float32(255))


def main():
    render, model = sys.argv[1:]
    pipeline = StableDiffusionPipeline.from_pretrained(model, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    side = 8 * pipeline.unet.config.sample_size
    worst = 1.0
    print(f"{'sampler':<8} {'SSIM':>7} {'largest difference':>19}  prompt")
    for sampler in SAMPLERS:
        for prompt in PROMPTS:
            pair = [theirs(pipeline, sampler, prompt), ours(render, model, sampler, prompt, side)]
            a, b = (picture.permute(2, 0, 1)[None] * 2 - 1 for picture in pair)
            similarity = float(vae.similarity(a, b))
            difference = float((pair[0] - pair[1]).abs().max() * 255)
            print(f"{sampler:<8} {similarity:>7.4f} {difference:>9.1f} of 255  {prompt}", flush=True)
            worst = min(worst, similarity)
    if worst <= LEAST:
        raise SystemExit(f"error: the least similar have an SSIM of {worst:.4f}; at least {LEAST} is wanted")


main()
