"""`tsssl-fast bench` hands its arguments to the suite, which lies in the package or beside it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_families_are_those_of_the_registry(monkeypatch):
    from tsssl_fast.cli.bench import FAMILIES

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import registry

    assert ("all", *registry.FAMILIES) == FAMILIES


def test_arguments_reach_the_suite(command, monkeypatch, tmp_path):
    from tsssl_fast.cli import bench

    ran = []

    def run(words, env, check):
        ran.append((words, env))
        return subprocess.CompletedProcess(words, 1)

    monkeypatch.setattr(bench, "folder", lambda: tmp_path)
    monkeypatch.setattr(bench.subprocess, "run", run)
    status, _, _ = command("bench", "masking", "--quick", "--json", tmp_path / "a.json")
    assert status == 1  # that of the suite
    ((words, environment),) = ran
    expected = [sys.executable, str(tmp_path / "run.py"), "masking", "--quick"]
    assert words == [*expected, "--json", str(tmp_path / "a.json")]
    import tsssl_fast

    first = environment["PYTHONPATH"].split(":")[0]
    assert first == str(Path(tsssl_fast.__file__).parents[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["speech"], "family: 'speech'; accepted: all, contrastive, decorrelation, augment,"),
        (["--json", "no/such/a.json"], "json: no/such/a.json; accepted: a file in a folder"),
        (["--threads", "0"], "Invalid value for '--threads'"),
        (["--device", "cuda"], "device: 'cuda'; accepted: cpu, auto; of a GPU `python benchm"),
    ],
)
def test_what_does_not_exist_is_refused(command, options, said):
    status, _, error = command("bench", *options)
    assert status in (1, 2)
    assert said in error


def test_the_suite_is_found_and_its_absence_told(monkeypatch, tmp_path):
    import tsssl_fast
    from tsssl_fast.cli import bench

    assert (bench.folder() / "run.py").is_file()
    monkeypatch.setattr(tsssl_fast, "__file__", str(tmp_path / "tsssl_fast" / "__init__.py"))
    with pytest.raises(FileNotFoundError, match=r"bench: no run\.py in"):
        bench.folder()
    inside = tmp_path / "tsssl_fast" / "benchmarks"
    inside.mkdir(parents=True)
    (inside / "run.py").touch()
    assert bench.folder() == inside
