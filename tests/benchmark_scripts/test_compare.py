"""Two revisions are compared by their own cases; slower, missing and different ones fail."""

import ast
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def _compare(
    monkeypatch: pytest.MonkeyPatch, base: object, again: object, new: object, *arguments: str
) -> int:
    """The exit status of a comparison whose processes would have said this."""
    import compare
    import compare_statistics

    sides = {"base": base, "again": again, "new": new}
    found = {name: compare_statistics.Side() for name in sides}
    for name, cases in sides.items():
        for _ in range(5):
            found[name].add(cases)
    trees = {name: Path(name) for name in sides}
    monkeypatch.setattr(compare, "find_trees", lambda *_: trees)
    monkeypatch.setattr(compare, "take_turns", lambda *_: (found, dict.fromkeys(sides, "avx2")))
    monkeypatch.setattr(sys, "argv", ["compare.py", *arguments])
    return compare.main()


def _timed(seconds: float, value: float = 1.0) -> dict[str, object]:
    return {"seconds": seconds, "values": [value]}


@pytest.mark.parametrize(
    ("new", "again", "verdict", "status"),
    [
        (1.04, 1.0, "same", 0),
        (1.06, 1.0, "SLOWER", 1),
        (1.06, 1.08, "same", 0),  # two builds of base differ by more
        (1.06, 0.92, "same", 0),
        (1.10, 1.08, "SLOWER", 1),
        (0.90, 1.0, "faster", 0),
    ],
)
def test_slower_is_beyond_five_percent_and_the_noise(
    benchmark_modules: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    new: float,
    again: float,
    verdict: str,
    status: int,
) -> None:
    sides = [{"loss 8x16": _timed(seconds)} for seconds in (1.0, again, new)]
    out = tmp_path / "compare.json"
    assert _compare(monkeypatch, *sides, "--json", str(out)) == status
    (row,) = json.loads(out.read_text())["rows"]
    assert row["verdict"] == verdict
    assert row["ratio"] == pytest.approx(new)
    assert row["new"] == [new] * 5


def test_a_noisy_run_raises_the_bar_of_every_case(benchmark_modules: None) -> None:
    from compare_statistics import Side, common, judge

    base, new = Side(), Side()
    for side, seconds in ((base, 1.0), (new, 1.07)):
        side.add({"loss 8x16": _timed(seconds)})
    noises = {f"case {i}": 0.01 * i for i in range(11)}
    assert common(noises) == pytest.approx(0.09)  # nine of ten
    assert [row.verdict for row in judge(base, new, noises)] == ["same"]
    assert [row.verdict for row in judge(base, new, {"case": 0.01})] == ["SLOWER"]


@pytest.mark.parametrize(
    ("base", "new", "said", "status"),
    [
        ({"gone": _timed(1.0)}, {}, "gone (MISSING)", 1),
        ({}, {"grown": _timed(1.0)}, "added: new alone has it", 0),
        ({"loss": _timed(1.0)}, {"loss": _timed(1.0, 1.01)}, "loss (DIFFERENT)", 1),
        ({"loss": _timed(1.0)}, {"loss": _timed(1.0, 1.0001)}, "not passed: none", 0),
        ({"loss": _timed(1.0)}, {"loss": {"error": "KeyError: x"}}, "new: KeyError: x", 1),
    ],
)
def test_what_can_not_be_compared_is_named(
    benchmark_modules: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    base: dict[str, object],
    new: dict[str, object],
    said: str,
    status: int,
) -> None:
    beside = {"beside": _timed(1.0)}
    assert _compare(monkeypatch, base | beside, base | beside, new | beside) == status
    assert said in capsys.readouterr().out


def test_noise_is_told_and_that_of_another_processor_refused(
    benchmark_modules: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    side = {"loss 8x16": _timed(1.0)}
    noisy = {"loss 8x16": _timed(1.3)}
    out = tmp_path / "noise.json"
    assert _compare(monkeypatch, side, noisy, {}, "--aa", "--json", str(out)) == 0
    assert "noise above 15%" in capsys.readouterr().out
    assert _compare(monkeypatch, side, side, noisy, "--noise", str(out)) == 0
    assert _compare(monkeypatch, side, side, noisy) == 1
    record = json.loads(out.read_text())
    record["machine"]["processor"] = "another"
    out.write_text(json.dumps(record))
    with pytest.raises(SystemExit, match="processor 'another'"):
        _compare(monkeypatch, side, side, noisy, "--noise", str(out))


def test_both_adapters_have_the_functions_that_the_cases_call(benchmark_modules: None) -> None:
    """Read, not imported: the older one's names are those of another revision."""
    from compare_cases import catalogue

    wanted = {name for case in catalogue.CASES for name in case.uses}
    for module in ("current", "revision_78e2e36"):
        tree = ast.parse((BENCHMARKS / "compare_cases" / f"{module}.py").read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert functions == wanted | {"instruction_set"}, module
    keys = [case.key for case in catalogue.CASES]
    assert len(set(keys)) == len(keys)


def test_every_compared_case_runs(benchmark_modules: None) -> None:
    import compare_worker
    from compare_cases import catalogue, current

    smallest = {}
    for case in catalogue.chosen(current):
        held = smallest.setdefault(case.name, case)
        if math.prod(case.shape) < math.prod(held.shape):
            smallest[case.name] = case
    for case in smallest.values():
        values = compare_worker.summary(case.build(current)())
        assert all(map(math.isfinite, values)), case.key
        assert values[0] > 0, case.key
    assert {case.key for case in catalogue.chosen(current, "nt_xent 8x*, mask point*")} == {
        "nt_xent 8x16",
        "mask point 256x9x128",
    }


def test_a_case_that_raises_is_reported_and_the_others_are_timed(benchmark_modules: None) -> None:
    import compare_worker
    from compare_cases import current
    from compare_cases.catalogue import Case

    def broken(api: object) -> object:
        raise RuntimeError("no such kernel")

    def sound(api: object) -> object:
        return lambda: (torch.ones(2),)

    cases = [Case("broken", (1,), (), broken), Case("sound", (1,), (), sound)]
    rows = compare_worker.measure(cases, current, samples=1, calls=1)
    assert rows["broken 1"] == {"error": "RuntimeError: no such kernel"}
    assert rows["sound 1"]["values"] == [1.0]
    assert rows["sound 1"]["seconds"] > 0


def test_a_tree_without_an_adapter_gets_that_of_the_first_revision(
    benchmark_modules: None, tmp_path: Path
) -> None:
    import compare_builds

    assert compare_builds.cases_of(BENCHMARKS.parent) == (BENCHMARKS, "current")
    assert compare_builds.cases_of(tmp_path) == (BENCHMARKS, "revision_78e2e36")


def test_this_tree_compares_with_itself(tmp_path: Path) -> None:
    out = tmp_path / "compare.json"
    tree = BENCHMARKS.parent
    done = subprocess.run(
        [
            *(sys.executable, BENCHMARKS / "compare.py", "--aa", "--quick", "--threads", "1"),
            *("--base-dir", tree, "--again-dir", tree, "--cases", "call mask*", "--json", out),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "noise of two builds of base" in done.stdout
    record = json.loads(out.read_text())
    (row,) = record["rows"]
    assert row["case"] == "call mask 1x3x64"
    assert len(row["base"]) == len(row["new"]) == 2
    assert record["noise"][row["case"]] == row["noise"] >= 0
