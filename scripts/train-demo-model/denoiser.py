"""The denoiser: a UNet that looks at the states of the text encoder."""

from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel

from checkpoint import trained
from presets import Preset

# Of the loss's weight by signal-to-noise ratio, as in "min-SNR" (Hang et al. 2023). There it is that ratio
# up to this, for the error of the clean picture; here it is one more. Without that, nearly pure noise would
# count for nothing, and from there on nothing but the words says what is to be drawn.
MOST_SNR = 5.0


def schedule() -> DDPMScheduler:
    return DDPMScheduler(
        num_train_timesteps=1000, beta_start=0.0001, beta_end=0.02, beta_schedule="linear",
        prediction_type="v_prediction", clip_sample=False,
    )


def build(preset: Preset) -> UNet2DConditionModel:
    down = ["CrossAttnDownBlock2D" if looks else "DownBlock2D" for looks in preset.unet_attention]
    up = ["CrossAttnUpBlock2D" if looks else "UpBlock2D" for looks in reversed(preset.unet_attention)]
    return UNet2DConditionModel(
        sample_size=preset.side // 8,
        in_channels=4,
        out_channels=4,
        block_out_channels=preset.unet_channels,
        down_block_types=down,
        up_block_types=up,
        layers_per_block=1,
        # The number of heads, in this field, as in Stable Diffusion 1.
        attention_head_dim=4,
        cross_attention_dim=preset.text_width,
        use_linear_projection=True,
    )


def load(preset: Preset, work: Path) -> UNet2DConditionModel:
    """The trained one."""
    unet = build(preset)
    unet.load_state_dict(trained(work / "unet.pt"))
    return unet.eval()


def loss(
    unet: UNet2DConditionModel,
    schedule: DDPMScheduler,
    latents: torch.Tensor,
    states: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """The squared error of the velocity at timesteps drawn evenly, weighted by how noisy they are."""
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    # One from each part of equal length, in any order: less chance than drawing all freely.
    count = len(latents)
    shares = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    timesteps = (shares * 1000).long().clamp(max=999).to(latents.device)
    noisy = schedule.add_noise(latents, noise, timesteps)
    velocity = schedule.get_velocity(latents, noise, timesteps)
    signal = schedule.alphas_cumprod.to(latents.device)[timesteps]
    snr = signal / (1 - signal)
    weight = (snr.clamp(max=MOST_SNR) + 1) / (snr + 1)
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=latents.is_cuda):
        predicted = unet(noisy, timesteps, encoder_hidden_states=states).sample
    errors = (predicted.float() - velocity).square().mean(dim=(1, 2, 3))
    return (weight * errors).mean()
