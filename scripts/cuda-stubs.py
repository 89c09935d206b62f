#!/usr/bin/env python3
"""Makes stand-ins for NVIDIA's libraries, so that a CUDA build links on a machine without them.

    cuda-stubs.py CUDARC_SOURCE OUT

Each stand-in has the real library's soname and every function that cudarc declares, and does
nothing: it is for the linker alone. Where the program runs, the loader finds the real library.
"""

import pathlib
import re
import subprocess
import sys

# cudarc's module, the name to link with, the soname in CUDA 13.
LIBRARIES = [
    ("driver", "cuda", "libcuda.so.1"),
    ("cublas", "cublas", "libcublas.so.13"),
    ("cublaslt", "cublasLt", "libcublasLt.so.13"),
    ("curand", "curand", "libcurand.so.10"),
    ("nvrtc", "nvrtc", "libnvrtc.so.13"),
    ("cudnn", "cudnn", "libcudnn.so.9"),
]

# A declaration inside an `extern "C"` block ends in a semicolon; wrappers have a body.
DECLARATION = re.compile(r"\bfn\s+(\w+)\s*\([^{};]*;")


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for module, name, soname in LIBRARIES:
        text = (source / "src" / module / "sys" / "mod.rs").read_text()
        functions = sorted(set(DECLARATION.findall(text)))
        if not functions:
            sys.exit(f"error: no function declarations in cudarc's {module}")
        code = "".join(f"void {function}(void) {{}}\n" for function in functions)
        library = out / f"lib{name}.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-w", "-fno-builtin", "-x", "c", "-", "-o", library,
             f"-Wl,-soname,{soname}"],
            input=code, text=True, check=True,
        )
        print(f"    {library.name}: {len(functions)} functions, stands in for {soname}")


if __name__ == "__main__":
    main()
