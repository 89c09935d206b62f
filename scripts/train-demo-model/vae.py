"""The autoencoder: pictures to latents an eighth of their side, and back."""

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from checkpoint import trained
from presets import Preset

# Channels of the latents.
LATENTS = 4
# Weight of the divergence from unit noise: a trace, for latents of a moderate size.
DIVERGENCE = 1e-6
STRUCTURE = 0.3
# Without a weight of its own, colour is learned long after brightness, if at all.
COLOUR = 4.0
# Logarithm of the latents' variance that training begins with: nearly none, as there is nothing to blur yet.
FIRST_VARIANCE = -6.0
# Noise on the latents in training, as a share of their deviation: what the denoiser makes is never
# exact, and the decoder must bear it.
LATENT_NOISE = 0.1


def build(preset: Preset) -> AutoencoderKL:
    levels = len(preset.vae_channels)
    vae = AutoencoderKL(
        block_out_channels=preset.vae_channels,
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        layers_per_block=1,
        norm_num_groups=preset.vae_groups,
        latent_channels=LATENTS,
        sample_size=preset.side,
    )
    mean_and_variance = vae.quant_conv
    with torch.no_grad():
        mean_and_variance.weight[LATENTS:] = 0
        mean_and_variance.bias[LATENTS:] = FIRST_VARIANCE
    return vae


def load(preset: Preset, work: Path) -> AutoencoderKL:
    """The trained one."""
    vae = build(preset)
    vae.load_state_dict(trained(work / "vae.pt"))
    return vae.eval()


def colour(pictures: torch.Tensor) -> torch.Tensor:
    """What is left without the brightness."""
    return pictures - pictures.mean(dim=1, keepdim=True)


def similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Mean structural similarity (Wang et al. 2004) of pictures in -1 to 1, in windows of 7×7 with
    equal weights."""
    mean = lambda x: F.avg_pool2d(x, 7, stride=1)
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    contrast = (2 * covariance + c2) / (var_a + var_b + c2)
    return (luminance * contrast).mean()


def multi_scale_similarity(a: torch.Tensor, b: torch.Tensor, scales: int = 3) -> torch.Tensor:
    """The mean of the similarity at several scales, each half as large."""
    total = similarity(a, b)
    for _ in range(scales - 1):
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        total = total + similarity(a, b)
    return total / scales


def loss(vae: AutoencoderKL, pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    distribution = vae.encode(pictures).latent_dist
    latents = distribution.sample(generator)
    noise = torch.randn(latents.shape, generator=generator, device=generator.device)
    deviation = latents.detach().std(dim=(0, 2, 3), keepdim=True)
    latents = latents + LATENT_NOISE * deviation * noise.to(latents.device)
    decoded = vae.decode(latents).sample
    return (
        F.l1_loss(decoded, pictures)
        + COLOUR * F.mse_loss(colour(decoded), colour(pictures))
        + STRUCTURE * (1 - multi_scale_similarity(decoded, pictures))
        + DIVERGENCE * distribution.kl().mean()
    )


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: torch.Tensor, batch: int = 64) -> torch.Tensor:
    """The means of the latents, not scaled."""
    vae.eval()
    return torch.cat([vae.encode(part).latent_dist.mean for part in pictures.split(batch)])


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: torch.Tensor, batch: int = 64) -> torch.Tensor:
    vae.eval()
    return torch.cat([vae.decode(part).sample for part in latents.split(batch)])
