"""The denoiser: a text encoder of CLIP's shape and a UNet that looks at it, trained together."""

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from presets import Preset

# Of the loss's weight by signal-to-noise ratio (Hang et al. 2023, "min-SNR").
MOST_SNR = 5.0


def schedule() -> DDPMScheduler:
    return DDPMScheduler(
        num_train_timesteps=1000, beta_start=0.0001, beta_end=0.02, beta_schedule="linear",
        prediction_type="v_prediction", clip_sample=False,
    )


def build_text_encoder(preset: Preset, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=preset.text_width,
            intermediate_size=4 * preset.text_width,
            num_hidden_layers=preset.text_layers,
            num_attention_heads=4,
            max_position_embeddings=preset.positions,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_unet(preset: Preset) -> UNet2DConditionModel:
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


class Denoiser(torch.nn.Module):
    def __init__(self, preset: Preset, tokenizer: CLIPTokenizer):
        super().__init__()
        self.text_encoder = build_text_encoder(preset, tokenizer)
        self.unet = build_unet(preset)

    def forward(self, latents: torch.Tensor, timesteps: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        states = self.text_encoder(ids).last_hidden_state
        return self.unet(latents, timesteps, encoder_hidden_states=states).sample


def loss(
    model: Denoiser,
    schedule: DDPMScheduler,
    latents: torch.Tensor,
    ids: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """The squared error of the velocity at timesteps drawn evenly, with min-SNR weights."""
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    # One from each part of equal length, in any order: less chance than drawing all freely.
    count = len(latents)
    shares = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    timesteps = (shares * 1000).long().clamp(max=999).to(latents.device)
    noisy = schedule.add_noise(latents, noise, timesteps)
    velocity = schedule.get_velocity(latents, noise, timesteps)
    signal = schedule.alphas_cumprod.to(latents.device)[timesteps]
    snr = signal / (1 - signal)
    weight = snr.clamp(max=MOST_SNR) / (snr + 1)
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=latents.is_cuda):
        predicted = model(noisy, timesteps, ids)
    errors = (predicted.float() - velocity).square().mean(dim=(1, 2, 3))
    return (weight * errors).mean()
