"""Training in chunks: a checkpoint is kept on the disk, and any time it is taken up where it was."""

import math
import os
import time
from pathlib import Path

import torch

WARMUP = 100
# Seconds between two checkpoints.
BETWEEN = 60


class Deadline:
    """When a chunk must end."""

    def __init__(self, minutes: float | None):
        self.end = math.inf if minutes is None else time.monotonic() + 60 * minutes

    def passed(self) -> bool:
        return time.monotonic() >= self.end


class Average:
    """An exponential moving average of a model's weights, which follows faster in the beginning."""

    def __init__(self, model: torch.nn.Module, decay: float):
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module, step: int):
        keep = min(self.decay, (step + 1) / (step + 10))
        for name, value in model.state_dict().items():
            average = self.weights[name]
            if value.is_floating_point():
                average.lerp_(value, 1 - keep)
            else:
                average.copy_(value)


def trained(path: Path) -> dict:
    """The averaged weights of a checkpoint."""
    return torch.load(path, weights_only=True)["average"]


class Training:
    """A model, its average, its optimizer and how far they are."""

    def __init__(self, path: Path, model: torch.nn.Module, steps: int, rate: float, decay: float):
        self.path, self.model, self.steps, self.rate = path, model, steps, rate
        self.average = Average(model, decay)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
        self.step, self.seconds, self.losses = 0, 0.0, []
        if path.is_file():
            stored = torch.load(path, weights_only=True)
            model.load_state_dict(stored["model"])
            self.average.weights = stored["average"]
            self.optimizer.load_state_dict(stored["optimizer"])
            self.step, self.seconds = stored["step"], stored["seconds"]
            self.losses = stored["losses"]

    def save(self):
        unfinished = self.path.with_suffix(".unfinished")
        torch.save(
            {
                "model": self.model.state_dict(),
                "average": self.average.weights,
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "losses": self.losses,
            },
            unfinished,
        )
        os.replace(unfinished, self.path)

    def learning_rate(self) -> float:
        """Warm-up, then a cosine to a fiftieth."""
        warm = min(1.0, (self.step + 1) / WARMUP)
        progress = min(1.0, self.step / self.steps)
        return self.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))

    def run(self, name: str, loss_of_step, deadline: Deadline, every: int = 50) -> bool:
        """Trains until all steps are done or the deadline is passed; whether all are done.
        `loss_of_step` gives the loss of a batch from the number of its step."""
        self.model.train()
        saved = begun = time.monotonic()
        done_before, total, count = self.seconds, 0.0, 0
        while self.step < self.steps and not deadline.passed():
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate()
            loss = loss_of_step(self.step)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.average.update(self.model, self.step)
            self.step += 1
            total, count = total + float(loss.detach()), count + 1
            now = time.monotonic()
            self.seconds = done_before + now - begun
            if self.step % every == 0:
                self.losses.append([self.step, total / count])
                print(
                    f"{name}: step {self.step} of {self.steps}, loss {total / count:.4f}, "
                    f"{self.seconds / 60:.1f} min",
                    flush=True,
                )
                total, count = 0.0, 0
            if now - saved > BETWEEN:
                self.save()
                saved = now
        self.save()
        return self.step >= self.steps
