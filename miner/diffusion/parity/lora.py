"""LoRA files in both namings, and what diffusers and PEFT make of a model with them."""

import math
import re

import torch

import formula

SCALE = 0.7
ALPHA = 1.5
# Ranks in the files of diffusers and of kohya.
RANKS = {"diffusers": 2, "kohya": 3}
# What layers' names end with that files change.
UNET = ["attn1.to_q", "attn2.to_v", "attn1.to_out.0", "ff.net.0.proj", "proj_in", "conv1", "conv_shortcut"]
UNET += ["time_emb_proj"]
TEXT = ["self_attn.q_proj", "self_attn.out_proj", "mlp.fc1"]


def layers(model: torch.nn.Module, ends: list[str]):
    """Every second layer with such a name, and its weights."""
    named = [(name, module) for name, module in model.named_modules() if name.endswith(tuple(ends))]
    return [(name, module.weight) for name, module in named[::2]]


def original(name: str, layers_per_block: int) -> str:
    """The name of a layer of a UNet's blocks in the code of Stable Diffusion XL."""
    side, *place, kind, i, rest = re.match(r"(\w+?)(?:\.(\d+))?\.(\w+)\.(\d+)\.(.*)", name).groups()
    is_resnet, i = kind == "resnets", int(i)
    inner = {"conv1": "in_layers.2", "conv_shortcut": "skip_connection", "time_emb_proj": "emb_layers.1"}
    if is_resnet:
        rest = inner[rest]
    if side == "mid_block":
        return f"middle_block.{2 * i if is_resnet else 1}.{rest}"
    block = (layers_per_block + 1) * int(place[0]) + i
    block = f"input_blocks.{block + 1}" if side == "down_blocks" else f"output_blocks.{block}"
    return f"{block}.{0 if is_resnet else 1}.{rest}"


def tensors(pipeline, naming: str) -> dict:
    """The tensors' shapes by their names in a file."""
    is_xl = hasattr(pipeline, "text_encoder_2")
    parts = [("unet", "lora_unet_", pipeline.unet, UNET)]
    parts += [("text_encoder", "lora_te1_" if is_xl else "lora_te_", pipeline.text_encoder, TEXT)]
    if is_xl:
        parts += [("text_encoder_2", "lora_te2_", pipeline.text_encoder_2, TEXT)]
    rank = RANKS[naming]
    shapes = {}
    for part, prefix, model, ends in parts:
        for name, weight in layers(model, ends):
            output, *inputs = weight.shape
            down, up = [rank, *inputs], [output, rank, *([1] * (len(inputs) - 1))]
            if part != "unet" and not name.startswith("text_model."):
                name = f"text_model.{name}"
            if naming == "diffusers":
                shapes[f"{part}.{name}.lora_A.weight"] = down
                shapes[f"{part}.{name}.lora_B.weight"] = up
            else:
                if is_xl and part == "unet":
                    name = original(name, pipeline.unet.config.layers_per_block)
                name = prefix + name.replace(".", "_")
                shapes[f"{name}.lora_down.weight"] = down
                shapes[f"{name}.lora_up.weight"] = up
                shapes[f"{name}.alpha"] = []
    return shapes


def fill(name: str, shape: list[int]) -> torch.Tensor:
    if name.endswith(".alpha"):
        return torch.tensor(ALPHA)
    spread = 0.5 * math.sqrt(3 / math.prod(shape[1:]))
    values = (spread * formula.numbers(f"lora/{name}", math.prod(shape))).astype("float32")
    return torch.from_numpy(values.reshape(shape))


def with_lora(pipeline, naming: str, compute) -> dict:
    """What is computed while the weights are changed."""
    shapes = tensors(pipeline, naming)
    pipeline.load_lora_weights({name: fill(name, shape) for name, shape in shapes.items()})
    pipeline.fuse_lora(lora_scale=SCALE)
    computed = compute()
    pipeline.unfuse_lora()
    pipeline.unload_lora_weights()
    return {"naming": naming, "scale": SCALE, "tensors": shapes, "conditioned": computed}
