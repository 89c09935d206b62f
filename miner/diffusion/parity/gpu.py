"""Times diffusers and our renderer on a GPU, on the same random models, and checks ours there.

gpu.py speed PROGRAMS DIR [MODEL…]   a table of times; DIR is where models are made (8 GB for both)
gpu.py check PROGRAMS DIR            kernels against double precision, 100 runs for the same bits, CPU against GPU

PROGRAMS is a folder with what scripts/build-cuda makes: the examples request_times and compare_devices, and
the library's tests under the name kernel_tests. The machine needs an NVIDIA GPU, Python with PyTorch for CUDA,
diffusers, transformers and safetensors, and for torch.compile a C compiler. Nothing is downloaded.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import diffusers
    import torch

    import models
except ImportError as error:
    sys.exit(f"error: {error}\n{__doc__}")

MODELS = ["sd15", "sdxl"]
STEPS = 20
GUIDANCE = 7.5
BATCHES = [1, 8]
REQUESTS = 3
CHECKED_RUNS, CHECKED_PICTURES = 100, 200
PROMPT = "the red bird"


def make(name: str, folder: Path):
    """A model with the shapes of a published one and random weights, in half precision."""
    torch.manual_seed(1)
    with torch.device("cuda"):
        text = models.text_config(768, **models.WIDE_TEXT)
        parts = {
            "vae": models.vae(**models.WIDE_VAE),
            "text_encoder": models.CLIPTextModel(text),
        }
        if name == "sd15":
            parts["unet"] = models.unet(768, sample_size=64, **models.WIDE_UNET)
            kind, scheduler = diffusers.StableDiffusionPipeline, models.SCHEDULER_1
        else:
            second = models.text_config(
                1280, num_attention_heads=20, num_hidden_layers=32, hidden_act="gelu", projection_dim=1280
            )
            parts["text_encoder_2"] = models.CLIPTextModelWithProjection(second)
            parts["unet"] = models.unet(
                768 + 1280,
                sample_size=128,
                layers_per_block=2,
                norm_num_groups=32,
                block_out_channels=[320, 640, 1280],
                down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
                attention_head_dim=[5, 10, 20],
                transformer_layers_per_block=[1, 2, 10],
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=6 * 256 + 1280,
            )
            kind, scheduler = diffusers.StableDiffusionXLPipeline, models.SCHEDULER_XL
    parts["tokenizer"] = models.write_tokenizer(folder / "tokenizer", models.END)
    if name == "sdxl":
        parts["tokenizer_2"] = models.write_tokenizer(folder / "tokenizer_2", "!")
    else:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipeline = kind(scheduler=models.scheduler(scheduler), **parts)
    pipeline.to(torch.float16).save_pretrained(folder)


def theirs(folder: Path, side: int, batch: int, compiled: bool) -> float:
    """Milliseconds of a request, after two that are not counted: they compile."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float16).to("cuda")
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    if compiled:
        pipeline.unet = torch.compile(pipeline.unet, mode="max-autotune")
        pipeline.vae.decode = torch.compile(pipeline.vae.decode)
    taken = []
    for _ in range(2 + REQUESTS):
        begin = time.perf_counter()
        pipeline(
            PROMPT,
            height=side,
            width=side,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            num_images_per_prompt=batch,
            output_type="np",
        )
        torch.cuda.synchronize()
        taken.append((time.perf_counter() - begin) * 1e3)
    del pipeline
    torch.cuda.empty_cache()
    return statistics.median(taken[2:])


def call(program: Path, *arguments, **options):
    """Runs one of our programs, with the libraries that PyTorch came with."""
    libraries = Path(torch.__file__).parents[1] / "nvidia"
    found = [str(libraries / "cu13" / "lib"), str(libraries / "cudnn" / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(found)}
    return subprocess.run([program, *map(str, arguments)], check=True, env=environment, **options)


def ours(programs: Path, folder: Path, side: int, batch: int) -> float:
    times = call(programs / "request_times", folder, side, STEPS, batch, "cuda", stdout=subprocess.PIPE)
    return json.loads(times.stdout)["request"]


def speed(programs: Path, cache: Path, names: list):
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, diffusers {diffusers.__version__},")
    print(f"float16, Euler, {STEPS} steps with guidance, milliseconds from the prompt to the pixels")
    print("| model | images | diffusers | torch.compile | ours | ours / torch.compile |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in names:
        side = 512 if name == "sd15" else 1024
        prepare(name, cache / name)
        for batch in BATCHES:
            eager, compiled = (theirs(cache / name, side, batch, compiled) for compiled in (False, True))
            us = ours(programs, cache / name, side, batch)
            row = f"{name}, {side} px | {batch} | {eager:.0f} | {compiled:.0f} | {us:.0f} | {us / compiled:.2f}"
            print(f"| {row} |", flush=True)


def check(programs: Path, cache: Path):
    call(programs / "kernel_tests", "cuda::tests", "--nocapture")
    folder = cache / "sd15"
    prepare("sd15", folder)
    call(programs / "compare_devices", folder, 512, STEPS, CHECKED_RUNS, 0)
    # Smaller and with fewer steps: the CPU takes minutes for a picture of full size.
    call(programs / "compare_devices", folder, 256, 10, 1, CHECKED_PICTURES)


def prepare(name: str, folder: Path):
    if not (folder / "model_index.json").exists():
        make(name, folder)


def main():
    if len(sys.argv) < 4 or sys.argv[1] not in ("speed", "check"):
        sys.exit(__doc__)
    action, programs, cache, *names = sys.argv[1:]
    unknown = set(names) - set(MODELS)
    if unknown:
        sys.exit(f"error: there is no model {' '.join(unknown)}; there are: {' '.join(MODELS)}")
    if not torch.cuda.is_available():
        sys.exit("error: PyTorch finds no GPU")
    if action == "speed":
        speed(Path(programs), Path(cache), names or MODELS)
    else:
        check(Path(programs), Path(cache))


main()
