"""Builds the compiled parts where there is a compiler; without one the package is installed all the same, and says so.

Everything else is declared in pyproject.toml.
"""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CompileError, LinkError

try:
    from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
except ImportError:
    # A build without isolation and without pybind11.
    ParallelCompile = Pybind11Extension = None

SOURCES = sorted(str(path) for path in Path("csrc").glob("*.cpp"))


class BuildIfPossible(build_ext):
    """A failure is reported in full and leaves the package without compiled parts."""

    def run(self):
        """Builds, or says why not."""
        try:
            super().run()
        except (BaseError, CompileError, LinkError, OSError) as error:
            self.extensions = []  # setuptools copies what was built, which now is nothing.
            print(
                f"\nmegatron-bio: the compiled parts could not be built ({error}).\nEverything works without them, more slowly; "
                "megatron-bio doctor says what is missing. To build them, install a C++17 compiler and install again.\n",
                file=sys.stderr,
            )


if Pybind11Extension is None:
    print(
        "megatron-bio: pybind11 is not there, nothing is compiled; everything works, more slowly.",
        file=sys.stderr,
    )
    setup()
else:
    extension = Pybind11Extension("megatron_bio.native._compiled", SOURCES, cxx_std=17)
    with ParallelCompile(default=0):
        setup(ext_modules=[extension], cmdclass={"build_ext": BuildIfPossible})
