"""What other programs read: workflows, templates, citation; compilers that CMake refuses."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from import_graph import ROOT

from tsssl_fast import __version__

tomllib = pytest.importorskip("tomllib", reason="pyproject.toml is read by Python 3.11's tomllib")
FILES = sorted([*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"])


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/workflows/*.yml")), ids=lambda p: p.name)
def test_steps_of_workflows_do_one_thing_and_name_files_that_are_there(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert {"name", "permissions", "jobs"} <= workflow.keys()
    for job in workflow["jobs"].values():
        assert "runs-on" in job
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), step
            for name in re.findall(r"(?:tools|examples)/[\w./]+", step.get("run", "")):
                assert (ROOT / name).exists(), step


def test_wheels_are_built_for_every_python_that_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    built = {name.removesuffix("-*") for name in project["tool"]["cibuildwheel"]["build"]}
    named = re.findall(r":: 3\.(\d+)\"", (ROOT / "pyproject.toml").read_text())
    assert {f"cp3{minor}" for minor in named} <= built


def test_the_version_is_one() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert re.search(
        rf"^## \[.*{re.escape(__version__)}", (ROOT / "CHANGELOG.md").read_text(), re.M
    )


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("GNU", "8.3.0", "8"), "GNU 8.3.0 (c++) is too old; accepted: GCC 9"),
        (("Clang", "7.0.1", "8"), "Clang 7.0.1 (c++) is too old"),
        (("MSVC", "19.40", "8"), "MSVC 19.40 (c++) has no vector extensions"),
        (("GNU", "12.2.0", "4"), "builds for 32 bits"),
        (("GNU", "12.2.0", "8"), ""),
        (("AppleClang", "15.0", "8"), ""),
    ],
)
def test_compilers_that_can_not_build_it_are_refused(
    given: tuple[str, str, str], said: str
) -> None:
    names = ("CMAKE_CXX_COMPILER_ID", "CMAKE_CXX_COMPILER_VERSION", "CMAKE_SIZEOF_VOID_P")
    options = [f"-D{name}={value}" for name, value in zip(names, given, strict=True)]
    script = ROOT / "csrc" / "compiler.cmake"
    command = ["cmake", "-DCMAKE_CXX_COMPILER=c++", *options, "-P", str(script)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode != 0) == bool(said)
    text = " ".join(run.stderr.split())
    assert said in text
    assert not said or "TSSSL_BUILD_EXT=0" in text
