"""What other programs read: workflows, templates, citation; compilers that CMake refuses."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml
from import_graph import ROOT
from packaging.requirements import Requirement

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


# What torch's wheels for Linux with CUDA ask for, in their metadata: one release of triton.
TRITON_OF = {"2.6.0": "3.2.0", "2.8.0": "3.4.0", "2.13.0": "3.7.1", "2.15.0": "3.9.0"}


def test_every_combination_of_the_matrix_can_be_installed() -> None:
    """No extra asks for another triton than torch does, nor do the pins of constraints.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    least = next(d for d in project["dependencies"] if d.startswith("torch"))
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    rows = workflow["jobs"]["test"]["strategy"]["matrix"]["include"]
    named = {line.rpartition(" ")[2] for line in project["classifiers"] if ":: 3." in line}
    assert {row["python"] for row in rows} == named
    for row in rows:
        assert Requirement(least).specifier.contains(row["torch"]), row
        for requirement in asked(extras, row["extras"].split(",")):
            if requirement.name == "triton":
                assert requirement.specifier.contains(TRITON_OF[row["torch"]]), row
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    assert pins.get("triton", TRITON_OF[pins["torch"]]) == TRITON_OF[pins["torch"]]
    readme = re.findall(r"-c constraints\.txt \"\.\[(.+?)\]\"", (ROOT / "README.md").read_text())
    assert len(readme) == 2
    assert "triton" not in {r.name for r in asked(extras, readme)}


def asked(extras: dict[str, list[str]], names: Iterable[str]) -> Iterator[Requirement]:
    """What some extras ask for, those that they name included."""
    for entry in (entry for name in names for entry in extras[name]):
        requirement = Requirement(entry)
        if requirement.name == "tsssl_fast":
            yield from asked(extras, requirement.extras)
        else:
            yield requirement


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
