"""Times diffusers and our renderer on the same models and prints both; scripts/speed calls it.

speed.py PROGRAM DIR [MODEL…]   PROGRAM is the example step_times, DIR is where models are made
"""

import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import diffusers
import torch
import transformers

import models

UNET = {
    "norm_num_groups": 32,
    "attention_head_dim": 8,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}
UNET_3 = {kind: [*blocks, blocks[0]] for kind, blocks in UNET.items() if kind.endswith("types")}
VAE = {"block_out_channels": [32, 64, 128, 128], "norm_num_groups": 32}
# Name: side in pixels, steps to time, text configuration, options of the UNet and of the VAE.
SIZES = {
    "tiny-2": (128, 20, models.text_config(192), {**UNET, "block_out_channels": [96, 192]}, VAE),
    "tiny-3": (128, 20, models.text_config(192), {**UNET, **UNET_3, "block_out_channels": [96, 192, 256]}, VAE),
    "sd15": (512, 2, models.text_config(768, **models.WIDE_TEXT), models.WIDE_UNET, models.WIDE_VAE),
}


def make(folder: Path, text, unet: dict, vae: dict):
    diffusers.StableDiffusionPipeline(
        vae=models.vae(**vae),
        text_encoder=transformers.CLIPTextModel(text),
        tokenizer=models.write_tokenizer(folder / "tokenizer", models.END),
        unet=models.unet(text.hidden_size, **unet),
        scheduler=models.scheduler(models.SCHEDULER_1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def timed(count: int, compute) -> float:
    """Median of `count` times in milliseconds, after one that is not counted."""
    taken = []
    for _ in range(count + 1):
        begin = time.perf_counter()
        compute()
        taken.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(taken[1:])


def theirs(folder: Path, side: int, steps: int) -> dict:
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    width = pipeline.unet.config.cross_attention_dim
    sample = torch.randn(2, 4, side // 8, side // 8)
    states = torch.randn(2, models.POSITIONS, width)
    with torch.inference_mode():
        step = timed(steps, lambda: pipeline.unet(sample, 501, encoder_hidden_states=states))
        decode = timed(3, lambda: pipeline.vae.decode(sample[:1]))
    return {"step": step, "decode": decode}


def ours(program: str, folder: Path, side: int, steps: int) -> dict:
    found = subprocess.run([program, folder, str(side), str(steps + 1), "cpu"], check=True, capture_output=True)
    return json.loads(found.stdout)


def main():
    program, cache, *names = sys.argv[1:]
    unknown = set(names) - set(SIZES)
    if unknown:
        sys.exit(f"error: there is no model {' '.join(unknown)}; there are: {' '.join(SIZES)}")
    threads = os.cpu_count()
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    print(f"diffusers {diffusers.__version__}, PyTorch {torch.__version__}, float32, {threads} cores")
    print("| model | part | diffusers | ours | ours / diffusers |\n| --- | --- | --- | --- | --- |")
    for name in names or SIZES:
        side, steps, *parts = SIZES[name]
        folder = Path(cache) / name
        if not (folder / "model_index.json").exists():
            torch.manual_seed(1)
            make(folder, *parts)
        # Twice in turn, and the better of both: one that is disturbed is not the rule.
        both = [(theirs(folder, side, steps), ours(program, folder, side, steps)) for _ in range(2)]
        for part, what in [("step", "UNet step of two prompts"), ("decode", "VAE decode")]:
            them, us = (min(pair[i][part] for pair in both) for i in (0, 1))
            print(f"| {name}, {side} px | {what} | {them:.1f} ms | {us:.1f} ms | {us / them:.2f} |", flush=True)


main()
