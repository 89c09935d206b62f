"""Tiny models of each family with weights from the formula, and what diffusers makes of them."""

import json
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import formula
import lora
from samplers import SAMPLERS, STABLE_DIFFUSION, inject_noise, is_end_of_step

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = ["r e", "re d</w>", "b i", "r d</w>", "bi rd</w>", "o n</w>", "t h", "th e</w>"]
# The prompt and the negative prompt of each model.
PROMPTS = {
    "sd15": ("the red bird on the roof, 2 birds!", "blurry"),
    "sd15-wide": ("the red bird on the roof", "blurry"),
    "sd21": ("A Red BIRD, naïve 小鳥", ""),
    "sdxl": ("the red bird", ""),
    "sdxl-turbo": ("the red bird " * 40, "blurry"),
}
POSITIONS = 77
SIZE = (64, 96)
STEPS = 4
GUIDANCE = 5.0
# Where they start from a picture.
STEPS_FROM = 5
STRENGTH = 0.6
IMG2IMG = {
    diffusers.StableDiffusionPipeline: diffusers.StableDiffusionImg2ImgPipeline,
    diffusers.StableDiffusionXLPipeline: diffusers.StableDiffusionXLImg2ImgPipeline,
}
STORED = ["sd15", "sd21", "sdxl"]
# As the files of Stable Diffusion 1.5 have it, which say nothing of the spacing.
SCHEDULER_1 = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    **STABLE_DIFFUSION,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
SCHEDULER_2 = {**SCHEDULER_1, "_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}
SCHEDULER_XL = {
    **SCHEDULER_1,
    "_class_name": "EulerDiscreteScheduler",
    "prediction_type": "epsilon",
    "interpolation_type": "linear",
    "timestep_spacing": "leading",
    "use_karras_sigmas": False,
}
SCHEDULER_TURBO = {
    **SCHEDULER_XL,
    "_class_name": "EulerAncestralDiscreteScheduler",
    "timestep_spacing": "trailing",
}


def letters():
    """The letters that stand for the bytes of the prompts, as in GPT-2."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    names = {byte: chr(byte) for byte in printable}
    names |= {byte: chr(256 + i) for i, byte in enumerate(others)}
    prompts = "".join(text for pair in PROMPTS.values() for text in pair)
    return [names[byte] for byte in sorted(set(prompts.lower().encode()) - set(b" "))]


def vocabulary():
    # "!" is the padding of some.
    words = ["!", *(letter for letter in letters() if letter != "!")]
    words += [letter + "</w>" for letter in letters()]
    words += [merge.replace(" ", "") for merge in MERGES]
    return {word: i for i, word in enumerate([*words, START, END])}


def write_tokenizer(folder: Path, padding: str):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES, ""]))
    special = {"bos_token": START, "eos_token": END, "pad_token": padding, "unk_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {**special, "model_max_length": POSITIONS, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return CLIPTokenizer.from_pretrained(folder)


def text_config(width: int, **options):
    return CLIPTextConfig(
        **{
            "vocab_size": len(vocabulary()),
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_attention_heads": 4,
            "num_hidden_layers": 3,
            "max_position_embeddings": POSITIONS,
            # The published files name the marks by numbers that are not those of the vocabulary.
            "bos_token_id": 0,
            "eos_token_id": 2,
            "pad_token_id": 1,
            **options,
        }
    )


def vae(**options):
    channels = options.get("block_out_channels", [8, 8, 16, 16])
    return AutoencoderKL(
        **{
            "block_out_channels": channels,
            "down_block_types": ["DownEncoderBlock2D"] * len(channels),
            "up_block_types": ["UpDecoderBlock2D"] * len(channels),
            "latent_channels": 4,
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "sample_size": SIZE[0],
            "scaling_factor": 0.18215,
            **options,
        }
    )


def unet(text_width: int, **options):
    """A UNet of small widths, none of them like another's."""
    return UNet2DConditionModel(
        **{
            "sample_size": SIZE[0] // 8,
            "in_channels": 4,
            "out_channels": 4,
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "cross_attention_dim": text_width,
            "block_out_channels": [16, 32],
            "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
            "attention_head_dim": 4,
            **options,
        }
    )


def scheduler(config: dict):
    return getattr(diffusers, config["_class_name"]).from_config(config)


def single(
    folder: Path,
    config: dict,
    padding: str,
    text: CLIPTextConfig,
    unet_options: dict,
    vae_options: dict = {},
):
    """A model of Stable Diffusion 1 or 2."""
    return diffusers.StableDiffusionPipeline(
        vae=formula.fill("vae", vae(**vae_options)),
        text_encoder=formula.fill("text_encoder", CLIPTextModel(text)),
        tokenizer=write_tokenizer(folder / "tokenizer", padding),
        unet=formula.fill("unet", unet(text.hidden_size, **unet_options)),
        scheduler=scheduler(config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


# The widths and depths of Stable Diffusion 1.5.
WIDE_TEXT = {"num_attention_heads": 12, "num_hidden_layers": 12}
WIDE_UNET = {
    "norm_num_groups": 32,
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
WIDE_VAE = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "norm_num_groups": 32}


def double(folder: Path, config: dict):
    """A model of Stable Diffusion XL."""
    first = text_config(16)
    second = text_config(24, hidden_act="gelu", projection_dim=20)
    options = {
        "block_out_channels": [16, 32, 48],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": [2, 4, 8],
        "transformer_layers_per_block": [1, 2, 3],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 20,
    }
    return diffusers.StableDiffusionXLPipeline(
        vae=formula.fill("vae", vae()),
        text_encoder=formula.fill("text_encoder", CLIPTextModel(first)),
        text_encoder_2=formula.fill("text_encoder_2", CLIPTextModelWithProjection(second)),
        tokenizer=write_tokenizer(folder / "tokenizer", END),
        tokenizer_2=write_tokenizer(folder / "tokenizer_2", "!"),
        unet=formula.fill("unet", unet(16 + 24, **options)),
        scheduler=scheduler(config),
    )


def models(folder: Path):
    """(name, pipeline, scheduler configuration)"""
    yield "sd15", single(folder / "sd15", SCHEDULER_1, END, text_config(32), {}), SCHEDULER_1
    options = {
        "block_out_channels": [16, 32, 48],
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "attention_head_dim": [2, 4, 8],
        "layers_per_block": 2,
        "use_linear_projection": True,
    }
    text = text_config(32, hidden_act="gelu")
    yield "sd21", single(folder / "sd21", SCHEDULER_2, "!", text, options), SCHEDULER_2
    text = text_config(768, **WIDE_TEXT)
    wide = single(folder / "sd15-wide", SCHEDULER_1, END, text, WIDE_UNET, WIDE_VAE)
    yield "sd15-wide", wide, SCHEDULER_1
    yield "sdxl", double(folder / "sdxl", SCHEDULER_XL), SCHEDULER_XL
    yield "sdxl-turbo", double(folder / "sdxl-turbo", SCHEDULER_TURBO), SCHEDULER_TURBO


def encode(pipeline, prompt: str, negative: str):
    """The states of the negative prompt and the prompt, and the pooled text or none."""
    is_xl = isinstance(pipeline, diffusers.StableDiffusionXLPipeline)
    encoded = pipeline.encode_prompt(
        prompt=prompt,
        device="cpu",
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
        # An empty one is none: it is what `force_zeros_for_empty_prompt` is about.
        negative_prompt=negative or None,
    )
    states = torch.cat([encoded[1], encoded[0]])
    return states, torch.cat([encoded[3], encoded[2]]) if is_xl else None


def trajectory(pipeline, sampler: str, steps: int, done: int, most, **inputs) -> dict:
    """The samples after each of the steps that are done."""
    kind, options = SAMPLERS[sampler]
    before = pipeline.scheduler
    pipeline.scheduler = kind.from_config(before.config, **options)
    inject_noise()
    evaluations = 2 * done - 1 if sampler == "Heun" else done
    samples = []

    def keep(_, evaluation, timestep, values):
        if is_end_of_step(sampler, evaluation + 1, evaluations):
            samples.append(formula.record(values["latents"], most))
        return values

    pipeline(num_inference_steps=steps, output_type="latent", callback_on_step_end=keep, **inputs)
    pipeline.scheduler = before
    return {"sampler": sampler, "steps": steps, "samples": samples}


def condition(pipeline, name: str, timesteps: list[int], most) -> dict:
    """What the model makes of its prompts, and the UNet's output for them at some timesteps."""
    states, pooled = encode(pipeline, *PROMPTS[name])
    added = {}
    if pooled is not None:
        sizes = torch.tensor([[*SIZE, 0, 0, *SIZE]] * 2, dtype=torch.float32)
        added = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes}}
    outputs = []
    for timestep in timesteps:
        sample = formula.unit("unet input", (2, 4, SIZE[0] // 8, SIZE[1] // 8))
        output = pipeline.unet(sample, timestep, encoder_hidden_states=states, **added).sample
        outputs.append({"timestep": timestep, "output": formula.record(output, most)})
    return {
        "states": formula.record(states, most),
        "pooled": None if pooled is None else formula.record(pooled, most),
        "unet": outputs,
    }


def compute(name: str, pipeline, most) -> dict:
    prompt, negative = PROMPTS[name]
    latents = (4, SIZE[0] // 8, SIZE[1] // 8)
    conditioned = condition(pipeline, name, [1, 501, 981], most)
    picture = formula.numbers("picture", 3 * SIZE[0] * SIZE[1]).astype("float32")
    picture = torch.from_numpy(picture.reshape(1, 3, *SIZE))
    encoded = pipeline.vae.encode(picture).latent_dist.mean * pipeline.vae.config.scaling_factor
    texts = {"prompt": prompt, "negative_prompt": negative or None, "guidance_scale": GUIDANCE}
    from_noise = {"height": SIZE[0], "width": SIZE[1], "latents": formula.unit("noise", (1, *latents))}
    img2img = IMG2IMG[type(pipeline)](**pipeline.components)
    img2img.set_progress_bar_config(disable=True)
    trajectories = [
        trajectory(pipeline, sampler, STEPS, STEPS, most, **texts, **from_noise) for sampler in SAMPLERS
    ]
    left = int(STEPS_FROM * STRENGTH)
    from_picture = [
        # The encoded picture instead of the picture: otherwise its latents are drawn, not their mean.
        trajectory(img2img, sampler, STEPS_FROM, left, most, **texts, image=encoded, strength=STRENGTH)
        for sampler in SAMPLERS
    ]
    codes = formula.unit("vae input", (1, *latents)) / pipeline.vae.config.scaling_factor
    return {
        "name": name,
        "prompt": prompt,
        "negative": negative,
        "size": SIZE,
        "guidance": GUIDANCE,
        "conditioned": conditioned,
        "trajectories": trajectories,
        "strength": STRENGTH,
        "from_picture": from_picture,
        "encoded": formula.record(encoded, most),
        "decoded": formula.record(pipeline.vae.decode(codes).sample, most),
        "loras": [
            lora.with_lora(pipeline, naming, lambda: condition(pipeline, name, [501], most))
            for naming in lora.RANKS
        ],
    }


def save(pipeline, folder: Path, config: dict, plain: bool):
    """Saves a model; a plain one with the tokenizer files of old models, which this script wrote."""
    written = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    pipeline.save_pretrained(folder)
    # As a model's author wrote it, not as diffusers completes it.
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    if plain:
        for path in folder.rglob("tokenizer.json"):
            path.unlink()
        for path, text in written.items():
            path.write_text(text)


def small_files(folder: Path) -> dict:
    """All files of a model but the weights."""
    paths = (path for path in sorted(folder.rglob("*")) if path.suffix in [".json", ".txt"])
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def run(folder: Path, most):
    """Writes the models into `folder` and returns what diffusers computes. With `most`, only the
    models whose results are stored, about so many numbers of each tensor, and the models' files but
    for their weights."""
    cases = []
    with torch.no_grad():
        for name, pipeline, config in models(folder):
            if most is not None and name not in STORED:
                continue
            pipeline.set_progress_bar_config(disable=True)
            save(pipeline, folder / name, config, plain=most is not None or name == "sd15")
            case = compute(name, pipeline, most)
            if most is not None:
                case["files"] = small_files(folder / name)
            cases.append(case)
    return cases
