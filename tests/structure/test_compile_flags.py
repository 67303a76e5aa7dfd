"""What CMake hands to the compiler: kernels that promise equal bits do not contract."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXACT = ("augment", "masking", "preprocess")


def configured(build: Path) -> Path:
    """compile_commands.json of a build folder of its own."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("TSSSL_BUILD_DIR is not set and there is no cmake to configure a build with")
    # The C++ tests need neither Python's headers nor pybind11.
    arguments = ["-S", str(ROOT), "-B", str(build), "-DTSSSL_BUILD_CPP_TESTS=ON"]
    if ninja := shutil.which("ninja"):
        arguments += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    done = subprocess.run([cmake, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0 and "No CMAKE_CXX_COMPILER could be found" in done.stderr:
        pytest.skip("cmake finds no C++ compiler")
    assert done.returncode == 0, done.stderr
    return build / "compile_commands.json"


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, list[str]]]:
    """(source, arguments) of every object that is compiled from csrc."""
    kept = os.environ.get("TSSSL_BUILD_DIR")
    file = (
        Path(kept, "compile_commands.json")
        if kept
        else configured(tmp_path_factory.mktemp("build"))
    )
    assert file.is_file(), f"{file} is missing: CMAKE_EXPORT_COMPILE_COMMANDS is off"
    entries = json.loads(file.read_text())
    found = [(Path(entry["file"]), entry["command"].split()) for entry in entries]
    return [(source, arguments) for source, arguments in found if "csrc" in source.parts]


@pytest.mark.parametrize("family", EXACT)
def test_exact_kernels_are_built_without_contraction(
    family: str, commands: list[tuple[Path, list[str]]]
) -> None:
    built = [(s, a) for s, a in commands if s.parent.name == family]
    names = {path.name for path in (ROOT / "csrc" / family).glob("*.cpp")}
    assert names
    assert {source.name for source, _ in built} == names
    assert [source.name for source, a in built if "-ffp-contract=off" not in a] == []


def test_nothing_is_tuned_to_the_machine_that_builds(
    commands: list[tuple[Path, list[str]]],
) -> None:
    assert commands
    for source, arguments in commands:
        assert not {"-march=native", "-mtune=native", "-ffast-math"} & set(arguments), source
