"""Builds the extension by driving CMakeLists.txt; everything else is in pyproject.toml.

TSSSL_BUILD_EXT=0  installs the pure-Python package: slower, and `tsssl-fast info` says so.
TSSSL_BUILD_DIR    keeps the CMake build in that folder: a rebuild compiles only what changed.
TSSSL_EMULATED_UNIT=1  also builds the tensor unit in plain C++, which tests alone run: a third more
to compile. Without it they are skipped on processors that have no such unit.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

HELP = """
The compiled kernels of tsssl_fast could not be built.
  They need a C++17 compiler: Debian/Ubuntu `apt-get install g++`, Fedora `dnf install gcc-c++`,
  macOS `xcode-select --install`.
  To install without compiled kernels (plain torch, slower): TSSSL_BUILD_EXT=0 pip install .
"""


def switch(name: str, default: str) -> bool:
    value = os.environ.get(name, default)
    if value not in ("0", "1"):
        sys.exit(f"{name}={value!r}: accepted values are 0 and 1")
    return value == "1"


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import pybind11

        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = Path(os.environ.get("TSSSL_BUILD_DIR", self.build_temp)).resolve()
        build.mkdir(parents=True, exist_ok=True)
        configure = [
            *("cmake", "-S", str(Path(__file__).parent.resolve()), "-B", str(build), "-G", "Ninja"),
            # Named because a kept build folder remembers the ninja of an isolated build environment
            # that is gone.
            f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja')}",
            *("-DCMAKE_BUILD_TYPE=Release", "-DTSSSL_BUILD_CPP_TESTS=OFF"),
            # Without the names of functions, 0.6 MB that only a debugger reads.
            *(["-DCMAKE_MODULE_LINKER_FLAGS_RELEASE=-s"] if sys.platform == "linux" else []),
            f"-DTSSSL_EMULATED_UNIT={'ON' if switch('TSSSL_EMULATED_UNIT', '0') else 'OFF'}",
            f"-DTSSSL_OUTPUT_DIR={target.parent}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
        ]
        try:
            subprocess.run(configure, check=True)
            subprocess.run(["cmake", "--build", str(build), "--target", "_C"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            # Or the next try, with a compiler, would take the broken one from there.
            (build / "CMakeCache.txt").unlink(missing_ok=True)
            raise SystemExit(f"{HELP}\n  What failed: {error}") from error


# What `tsssl-fast bench` runs: of an installation inside the package, of a checkout beside it.
SUITE = (
    "run",
    "registry",
    "measure",
    "timing",
    "memory",
    "scaling",
    "report",
    "pictures",
    "suite/*",
)


class WithBenchmarks(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        source, target = Path("benchmarks"), Path(self.build_lib, "tsssl_fast", "benchmarks")
        for file in (file for name in SUITE for file in sorted(source.glob(f"{name}.py"))):
            self.mkpath(str((target / file.relative_to(source)).parent))
            self.copy_file(str(file), str(target / file.relative_to(source)))


setup(
    ext_modules=[Extension("tsssl_fast._C", sources=[])] if switch("TSSSL_BUILD_EXT", "1") else [],
    cmdclass={"build_ext": CMakeBuild, "build_py": WithBenchmarks},
)
