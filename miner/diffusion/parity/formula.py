"""Numbers that Python and Rust both compute: weights, noise and a stand-in for a model.

The same is in src/pipeline/parity.rs.
"""

import math

import numpy as np
import torch


def numbers(name: str, count: int) -> np.ndarray:
    """`count` numbers evenly spread over -1 to 1, by splitmix64 from the FNV-1a hash of a name."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = ((start ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(start) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(31))) >> np.uint64(40)
    return z.astype(np.float64) / 2**23 - 1


def unit(name: str, shape) -> torch.Tensor:
    """Unit noise, though not Gaussian."""
    values = (numbers(name, math.prod(shape)) * math.sqrt(3)).astype(np.float32)
    return torch.from_numpy(values.reshape(shape))


def fill(part: str, model: torch.nn.Module):
    """Gives a model its weights: such that signals keep their size, with biases and norms that
    matter."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Newer versions of transformers leave the first part of these names out.
            if part.startswith("text_encoder") and not name.startswith("text_"):
                name = f"text_model.{name}"
            values = numbers(f"{part}/{name}", weight.numel())
            if weight.dim() == 1:
                middle, spread = (0.0 if name.endswith("bias") else 1.0), 0.2
            elif "embedding.weight" in name:
                middle, spread = 0.0, 1.0
            else:
                middle, spread = 0.0, math.sqrt(3 / (weight.numel() // weight.shape[0]))
            values = (middle + spread * values).astype(np.float32)
            weight.copy_(torch.from_numpy(values.reshape(weight.shape)))
    return model.eval()


def stand_in(sample: torch.Tensor, timestep: float) -> torch.Tensor:
    """Stands in for a model where only the sampler is looked at."""
    x = sample.numpy().astype(np.float64).reshape(-1)
    output = 0.8 * x + 0.2 * np.cos(np.arange(len(x)) + timestep / 100)
    return torch.from_numpy(output.astype(np.float32).reshape(sample.shape))


class Noise:
    """Takes the place of diffusers' `randn_tensor`: noise by the number of the call."""

    def __init__(self):
        self.step = 0

    def __call__(self, shape, **_):
        noise = unit(f"noise/{self.step}", tuple(shape))
        self.step += 1
        return noise


def record(tensor: torch.Tensor, most: int | None) -> dict:
    """A tensor for a JSON file: all of it, or about `most` of its numbers."""
    values = tensor.detach().to(torch.float32).numpy().reshape(-1)
    stride = 1 if most is None else max(1, math.ceil(len(values) / most))
    # An odd stride, so that it does not run along one column.
    stride += most is not None and stride % 2 == 0
    return {
        "len": len(values),
        "stride": int(stride),
        "values": [float(f"{x:.8g}") for x in values[::stride]],
    }
