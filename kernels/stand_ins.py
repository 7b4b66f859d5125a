"""Writes static libraries that stand in for CUDA's, so that one program runs with and without CUDA.

usage: stand_ins.py DIR

A program linked with CUDA's libraries does not start where they are missing. These stand-ins define every function that cudarc
names as a jump through a table. When the program starts, they load the real libraries and fill the table; without a driver,
each function returns its library's code for "no device". For x86-64 Linux.
"""

import json
import pathlib
import re
import subprocess
import sys

# Library, module of cudarc that names its functions, file names, and its code for "no device".
LIBRARIES = [
    ("cuda", "driver", ["libcuda.so.1"], 100),  # CUDA_ERROR_NO_DEVICE
    ("cublas", "cublas", ["libcublas.so.13", "libcublas.so.12"], 1),  # CUBLAS_STATUS_NOT_INITIALIZED
    ("cublasLt", "cublaslt", ["libcublasLt.so.13", "libcublasLt.so.12"], 1),
    ("curand", "curand", ["libcurand.so.10"], 203),  # CURAND_STATUS_INITIALIZATION_FAILED
    ("nvrtc", "nvrtc", ["libnvrtc.so.13", "libnvrtc.so.12"], 11),  # NVRTC_ERROR_INTERNAL_ERROR
]

SOURCE = """\
#include <dlfcn.h>
#include <stddef.h>

static int absent(void) {{ return {code}; }}

static const char *const names[] = {{{names}}};
__attribute__((visibility("hidden"))) void *stand_in_{library}[{number}] = {{[0 ... {number} - 1] = (void *)absent}};

__attribute__((constructor)) static void find(void) {{
  if (!dlopen("libcuda.so.1", RTLD_LAZY | RTLD_GLOBAL)) return;
  static const char *const files[] = {{{files}}};
  void *library = NULL;
  for (size_t i = 0; i < sizeof files / sizeof *files && !library; i++) library = dlopen(files[i], RTLD_LAZY | RTLD_GLOBAL);
  for (size_t i = 0; library && i < {number}; i++) {{
    void *function = dlsym(library, names[i]);
    if (function) stand_in_{library}[i] = function;
  }}
}}

__asm__(
  ".text\\n"
{jumps}
);
"""

JUMP = '  ".globl {name}\\n.type {name}, @function\\n{name}: jmp *stand_in_{library}+{offset}(%rip)\\n.size {name}, .-{name}\\n"'


def cudarc() -> pathlib.Path:
    root = pathlib.Path(__file__).resolve().parent.parent
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--features", "cuda"]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout)["packages"]
    return next(pathlib.Path(package["manifest_path"]).parent for package in packages if package["name"] == "cudarc")


def main() -> None:
    directory = pathlib.Path(sys.argv[1])
    sources = cudarc() / "src"
    for library, module, files, code in LIBRARIES:
        text = (sources / module / "sys" / "mod.rs").read_text()
        names = sorted(set(re.findall(r"^\s+fn ((?:cu|nvrtc)\w+)\(", text, re.MULTILINE)))
        if not names:
            sys.exit(f"{sources}: no functions of {library} in {module}/sys/mod.rs")
        jumps = [JUMP.format(name=name, library=library, offset=8 * index) for index, name in enumerate(names)]
        quoted = lambda texts: ", ".join(f'"{text}"' for text in texts)
        source = directory / f"{library}.c"
        source.write_text(SOURCE.format(code=code, names=quoted(names), files=quoted(files), number=len(names), library=library,
                                        jumps="\n".join(jumps)))
        compiled = source.with_suffix(".o")
        subprocess.run(["cc", "-O2", "-fPIC", "-c", source, "-o", compiled], check=True)
        archive = directory / f"lib{library}.a"
        archive.unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", archive, compiled], check=True)
        print(f"{archive.name}: {len(names)} functions")


if __name__ == "__main__":
    main()
