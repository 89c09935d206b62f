"""diffusers' schedulers by our sampler names, and their runs with a stand-in for the model."""

import diffusers
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_img2img
from diffusers.pipelines.stable_diffusion_xl import pipeline_stable_diffusion_xl_img2img
from diffusers.schedulers import scheduling_euler_ancestral_discrete, scheduling_lcm

import formula

SAMPLERS = {
    "Euler": (diffusers.EulerDiscreteScheduler, {}),
    "Euler a": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "DDIM": (diffusers.DDIMScheduler, {}),
    "DPM++ 2M": (diffusers.DPMSolverMultistepScheduler, {}),
    "DPM++ 2M Karras": (diffusers.DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "UniPC": (diffusers.UniPCMultistepScheduler, {}),
    "LCM": (diffusers.LCMScheduler, {}),
    "Heun": (diffusers.HeunDiscreteScheduler, {}),
}
STABLE_DIFFUSION = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SHAPE = (1, 1, 4, 4)
# What only some schedulers of diffusers know.
ZERO_SNR = ["Euler", "Euler a", "DDIM", "DPM++ 2M", "DPM++ 2M Karras", "UniPC", "LCM"]
FINAL_SIGMA = ["Euler", "DPM++ 2M", "DPM++ 2M Karras", "UniPC"]
# Theirs refuse to predict the picture.
NO_SAMPLE = ["Euler", "Euler a"]


def inject_noise():
    """Gives the schedulers that draw noise ours, from the first again, and the pipelines that start from
    a picture the noise that others start from."""
    noise = formula.Noise()
    scheduling_euler_ancestral_discrete.randn_tensor = noise
    scheduling_lcm.randn_tensor = noise
    for pipeline in [pipeline_stable_diffusion_img2img, pipeline_stable_diffusion_xl_img2img]:
        pipeline.randn_tensor = lambda shape, **_: formula.unit("noise", tuple(shape))


def is_end_of_step(sampler: str, evaluation: int, evaluations: int) -> bool:
    """Heun asks twice a step, but for the last."""
    return sampler != "Heun" or evaluation % 2 == 0 or evaluation == evaluations


def trajectory(sampler: str, scheduler, steps: int, most):
    inject_noise()
    scheduler.set_timesteps(steps)
    # Otherwise they look for the first timestep, which may be there twice.
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    sample = formula.unit("noise", SHAPE) * scheduler.init_noise_sigma
    samples = []
    evaluations = len(scheduler.timesteps)
    for i, timestep in enumerate(scheduler.timesteps):
        output = formula.stand_in(scheduler.scale_model_input(sample, timestep), float(timestep))
        sample = scheduler.step(output, timestep, sample).prev_sample
        if is_end_of_step(sampler, i + 1, evaluations):
            samples.append(formula.record(sample, most))
    return {"sampler": sampler, "steps": steps, "samples": samples}


def cases():
    """(group, sampler, options, steps) of all runs."""
    spacings = ["linspace", "leading", "trailing"]
    predictions = ["epsilon", "v_prediction", "sample"]
    for sampler in SAMPLERS:
        for spacing in spacings:
            for prediction in predictions:
                if prediction == "sample" and sampler in NO_SAMPLE:
                    continue
                for steps in [2, 4, 10, 25]:
                    group = f"{sampler}, {spacing}"
                    if sampler == "LCM":
                        group = sampler
                    elif sampler == "DPM++ 2M Karras":
                        group = sampler
                    elif sampler == "DDIM" and spacing == "linspace":
                        # Theirs goes to other levels than the model is asked about.
                        continue
                    options = {"timestep_spacing": spacing, "prediction_type": prediction}
                    if spacing == "leading" and sampler != "LCM":
                        options["steps_offset"] = 1
                    yield group, sampler, options, steps
        if sampler in ZERO_SNR:
            for steps in [4, 10, 25]:
                options = {
                    "timestep_spacing": "trailing",
                    "prediction_type": "v_prediction",
                    "rescale_betas_zero_snr": True,
                }
                yield f"{sampler}, no signal at the end", sampler, options, steps
        if sampler in FINAL_SIGMA:
            for steps in [4, 10, 25]:
                options = {"timestep_spacing": "leading", "final_sigmas_type": "sigma_min"}
                yield f"{sampler}, final sigma_min", sampler, options, steps
        # There, theirs cuts the timesteps of Karras' levels instead of rounding them, and gets NaN for
        # Euler a from the root of a difference of large squares.
        if sampler not in ["DPM++ 2M Karras", "Euler a"]:
            for steps in [4, 10]:
                yield f"{sampler}, cosine", sampler, {"beta_schedule": "squaredcos_cap_v2"}, steps
    for steps in [4, 10]:
        yield "DDIM, set_alpha_to_one false", "DDIM", {"set_alpha_to_one": False}, steps
        options = {"original_inference_steps": 20, "timestep_scaling": 0.01}
        yield "LCM, 20 timesteps, scaling 0.01", "LCM", options, steps


def stored(options: dict, steps: int) -> bool:
    """Whether a run belongs to the subset in the repository: each spacing with one prediction type,
    and all that is special."""
    own = {"linspace": "epsilon", "leading": "v_prediction", "trailing": "sample"}
    plain = "prediction_type" in options and "rescale_betas_zero_snr" not in options
    spacing = options.get("timestep_spacing")
    return steps == 4 and (not plain or own[spacing] == options["prediction_type"])


def run(most):
    """All runs, or the stored ones with about `most` numbers of each sample."""
    runs = []
    for group, sampler, options, steps in cases():
        if most is not None and not stored(options, steps):
            continue
        kind, own = SAMPLERS[sampler]
        config = {**STABLE_DIFFUSION, **options, **own}
        if sampler == "DDIM":
            config["clip_sample"] = False
        scheduler = kind(**config)
        runs.append({
            "name": group,
            "config": {"_class_name": kind.__name__, **config},
            "trajectory": trajectory(sampler, scheduler, steps, most),
        })
    return runs
