"""Writes what our results are compared with; scripts/parity calls it.

parity.py DIR           models, and all that diffusers makes of them, into DIR
parity.py DIR --write   the small subset that the tests compare with, into stored/
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import diffusers
import torch
import transformers

import models
import samplers

# Numbers of each tensor in the stored subset.
STORED = 8


def write(path: Path, cases):
    path.write_text(json.dumps(cases, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n")
    print(f"{path.name}: {len(cases)} cases, {path.stat().st_size // 1024} KiB")


def main():
    folder = Path(sys.argv[1])
    # More would only wait for each other: the models are tiny.
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    print(
        f"diffusers {diffusers.__version__}, transformers {transformers.__version__}, "
        f"PyTorch {torch.__version__}, float32 on the CPU"
    )
    if sys.argv[2:] == ["--write"]:
        stored = Path(__file__).parent / "stored"
        write(stored / "samplers.json", samplers.run(STORED))
        with tempfile.TemporaryDirectory() as scratch:
            write(stored / "models.json", models.run(Path(scratch), STORED))
    write(folder / "samplers.json", samplers.run(None))
    write(folder / "models.json", models.run(folder, None))


main()
