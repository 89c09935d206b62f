"""Trains the demo's model; `run` calls it. Each stage is skipped where it is done already."""

import argparse
import random
from pathlib import Path

import diffusers
import torch
import transformers

import data
import denoiser
import prompts
import text
import tokenizer
import vae
from checkpoint import Deadline, Training
from presets import PRESETS, Preset

STAGES = ["vae", "text", "unet", "export", "evaluate"]
SEED = 1
VAE_RATE = 1e-3
TEXT_RATE = 1e-3


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/train-demo-model/run", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="64", help="64 is for a CPU, 128 for a GPU")
    parser.add_argument("--minutes", type=float, help="end this chunk after so long; call again to go on")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="threads on the CPU; all cores if not given")
    parser.add_argument("--vae-steps", type=int, help="instead of the preset's")
    parser.add_argument("--text-steps", type=int, help="instead of the preset's")
    parser.add_argument("--unet-steps", type=int, help="instead of the preset's")
    parser.add_argument("--only", choices=STAGES, help="this stage alone")
    parser.add_argument("--out", type=Path, default=Path("miner/models/demo"), help="the model's directory")
    parser.add_argument("--cache", type=Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def train_vae(preset: Preset, emoji, work: Path, device: str, deadline: Deadline) -> bool:
    torch.manual_seed(SEED)
    model = vae.build(preset).to(device, memory_format=torch.channels_last)
    training = Training(work / "vae.pt", model, preset.vae_steps, VAE_RATE, decay=0.995)
    pictures = torch.stack([one.picture for one in emoji])

    def loss(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(SEED + step)
        chosen = torch.randint(len(pictures), (preset.vae_batch,), generator=generator)
        batch = pictures[chosen].to(device, memory_format=torch.channels_last)
        return vae.loss(model, batch, generator)

    return training.run("autoencoder", loss, deadline)


def captions(preset: Preset, emoji, batch: int, step: int, words, device: str):
    """Pictures drawn for a step, by their numbers, and the tokens of a caption for each."""
    rng = random.Random(SEED + step)
    chosen = [rng.randrange(len(emoji)) for _ in range(batch)]
    texts = [data.caption(emoji[i], rng) for i in chosen]
    ids = tokenizer.encode(words, texts, preset.positions)
    return torch.tensor(chosen, device=device), ids.to(device)


def train_text(preset: Preset, emoji, work: Path, device: str, deadline: Deadline) -> bool:
    words = tokenizer.build(preset, emoji)
    torch.manual_seed(SEED)
    reader = text.Reader(preset, words, len(emoji)).to(device)
    training = Training(work / "text.pt", reader, preset.text_steps, TEXT_RATE, decay=0.99)

    def loss(step: int) -> torch.Tensor:
        chosen, ids = captions(preset, emoji, preset.text_batch, step, words, device)
        return text.loss(reader, ids, chosen)

    return training.run("text encoder", loss, deadline)


def train_unet(preset: Preset, emoji, work: Path, device: str, deadline: Deadline) -> bool:
    words, text_encoder = text.load(preset, emoji, work)
    text_encoder.to(device)
    autoencoder = vae.load(preset, work).to(device)
    pictures = torch.stack([one.picture for one in emoji]).to(device)
    latents = vae.encode(autoencoder, pictures)
    latents = latents / latents.std()
    torch.manual_seed(SEED)
    unet = denoiser.build(preset).to(device)
    training = Training(work / "unet.pt", unet, preset.unet_steps, preset.unet_rate, decay=0.999)
    schedule = denoiser.schedule()

    def loss(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(SEED + step)
        chosen, ids = captions(preset, emoji, preset.unet_batch, step, words, device)
        with torch.no_grad():
            states = text_encoder(ids).last_hidden_state
        return denoiser.loss(unet, schedule, latents[chosen], states, generator)

    return training.run("denoiser", loss, deadline)


def main():
    options = arguments()
    # Neither's advice is about what is done here.
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if options.threads:
        torch.set_num_threads(options.threads)
    preset = PRESETS[options.preset].with_steps(options.vae_steps, options.text_steps, options.unet_steps)
    deadline = Deadline(options.minutes)
    work = options.cache / options.preset
    work.mkdir(parents=True, exist_ok=True)
    emoji = data.load(preset, options.cache)
    # Drawn before any training.
    prompts.load(preset, emoji)
    print(f"{len(emoji)} emoji of {preset.side} × {preset.side} pixels, on {options.device}", flush=True)
    stages = [options.only] if options.only else STAGES
    for stage in stages:
        done = True
        match stage:
            case "vae":
                done = train_vae(preset, emoji, work, options.device, deadline)
            case "text":
                done = train_text(preset, emoji, work, options.device, deadline)
            case "unet":
                done = train_unet(preset, emoji, work, options.device, deadline)
            case "export":
                # Imported here because loading whole pipelines takes as long as many steps.
                import export

                export.write(preset, emoji, work, options.out)
            case "evaluate":
                import evaluate

                evaluate.run(preset, emoji, options.out)
        if not done:
            print("the time is up: call again to go on", flush=True)
            return


main()
