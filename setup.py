"""Builds the compiled parts where there are compilers; without them the package is installed all the same, and says so.

Everything else is declared in pyproject.toml.
"""

import runpy
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CompileError, LinkError

try:
    from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
except ImportError:
    # A build without isolation and without pybind11.
    ParallelCompile = Pybind11Extension = None

KERNELS = "megatron_bio.kernels._cuda"
CUDA = runpy.run_path("csrc/compile_kernels.py")


def say(text: str) -> None:
    """Tell whoever installs, who sees it with pip install -v."""
    print(f"\nmegatron-bio: {text}\n", file=sys.stderr)


def extensions() -> list[Extension]:
    """Return what can be built here."""
    found = []
    if Pybind11Extension is None:
        say("pybind11 is not there, so the C++ parts are not built; everything works, more slowly.")
    else:
        sources = sorted(str(path) for path in Path("csrc").glob("*.cpp"))
        found.append(Pybind11Extension("megatron_bio.native._compiled", sources, cxx_std=17))
    if CUDA["find_nvcc"]() is None:
        say(
            "THE CUDA KERNELS ARE NOT BUILT: nvcc is neither in $CUDA_HOME/bin nor in the PATH. Everything works without them, "
            "on torch's own operations."
        )
    else:
        sources = [str(path) for path in CUDA["sources"]()]
        found.append(Extension(KERNELS, sources))
    return found


class BuildIfPossible(build_ext):
    """A failure is reported in full and leaves the package without that compiled part."""

    def build_extension(self, extension: Extension) -> None:
        """Build one of them, or say why not."""
        # Whatever happens, setuptools goes on, and copies only what was built.
        extension.optional = True
        try:
            if extension.name == KERNELS:
                output = Path(self.get_ext_fullpath(extension.name))
                output.parent.mkdir(parents=True, exist_ok=True)
                print(CUDA["compile_kernels"](CUDA["find_nvcc"](), output))
            else:
                super().build_extension(extension)
        except (BaseError, CompileError, LinkError, OSError, RuntimeError) as error:
            say(
                f"{extension.name} COULD NOT BE BUILT ({error}).\nEverything works without it, more slowly; megatron-bio doctor "
                "says what is missing. C++ parts want a C++17 compiler, CUDA kernels nvcc 12 or newer with a C++ compiler it takes."
            )


def build() -> None:
    """Hand over to setuptools."""
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildIfPossible})


if ParallelCompile is None:
    build()
else:
    with ParallelCompile(default=0):
        build()
