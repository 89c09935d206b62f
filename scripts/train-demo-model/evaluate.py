"""Measures the written model: which training picture is nearest to what it draws for a prompt."""

from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

import prompts
import vae
from presets import Preset

STEPS = 20
# What suits the model, what apps get that ask for nothing else, and no guidance at all.
GUIDANCE = [2.0, 7.5, 1.0]
COLUMNS = 15
BATCH = 20


def run(preset: Preset, emoji, out: Path):
    """Draws all prompts, prints a table for each guidance, and writes a contact sheet of the first."""
    pipeline = StableDiffusionPipeline.from_pretrained(out, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    asked = prompts.load(preset, emoji)
    pictures = torch.stack([one.picture for one in emoji])
    latents = vae.encode(pipeline.vae, pictures)
    for guidance in GUIDANCE:
        drawn = draw(pipeline, [prompt["prompt"] for prompt in asked], guidance)
        drawn_latents = vae.encode(pipeline.vae, drawn)
        print(f"guidance {guidance}, {STEPS} steps of Euler a, a seed for each prompt")
        print(f"{'kind':<8} {'prompts':>7} {'top-1':>7} {'top-5':>7}   by pixels: {'top-1':>7} {'top-5':>7}")
        ranks = torch.stack([
            rank(drawn_latents, latents, asked, emoji), rank(drawn, pictures, asked, emoji)
        ])
        for kind in ["label", "tag", "phrase"]:
            own = ranks[:, [prompt["kind"] == kind for prompt in asked]]
            top = [f"{100 * float((row < most).float().mean()):>5.0f} %" for row in own for most in (1, 5)]
            print(f"{kind:<8} {own.shape[1]:>7} {top[0]} {top[1]}              {top[2]} {top[3]}")
        wrong = [f"{asked[i]['prompt']} ({int(ranks[0, i]) + 1})" for i in torch.nonzero(ranks[0]).flatten()]
        print(f"not nearest, with their rank: {', '.join(wrong) or 'none'}\n", flush=True)
        if guidance == GUIDANCE[0]:
            sheet(drawn, out / "contact-sheet.png")


@torch.no_grad()
def draw(pipeline, texts: list[str], guidance: float) -> torch.Tensor:
    """A picture for each text, -1 to 1; its seed is its place."""
    drawn = []
    for first in range(0, len(texts), BATCH):
        part = texts[first : first + BATCH]
        generators = [torch.Generator().manual_seed(first + i) for i in range(len(part))]
        drawn.append(torch.from_numpy(pipeline(
            part, num_inference_steps=STEPS, guidance_scale=guidance, generator=generators, output_type="np",
        ).images))
    return torch.cat(drawn).permute(0, 3, 1, 2) * 2 - 1


def rank(drawn: torch.Tensor, known: torch.Tensor, asked, emoji) -> torch.Tensor:
    """For each drawn picture, how many known ones are nearer than the nearest right one."""
    distances = torch.cdist(drawn.flatten(1), known.flatten(1))
    best = [distances[i, list(prompts.right(prompt, emoji))].min() for i, prompt in enumerate(asked)]
    return (distances < torch.stack(best)[:, None]).sum(dim=1)


def sheet(pictures: torch.Tensor, path: Path):
    """All pictures side by side."""
    side, rows = pictures.shape[-1], -(-len(pictures) // COLUMNS)
    paper = Image.new("RGB", (COLUMNS * side, rows * side), "white")
    for i, picture in enumerate(pictures.clamp(-1, 1)):
        pixels = ((picture.permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
        paper.paste(Image.fromarray(pixels), (i % COLUMNS * side, i // COLUMNS * side))
    paper.save(path, optimize=True)
    print(path, flush=True)
