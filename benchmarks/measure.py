"""One case measured: its errors first, then times in turns, then memory; the rows that come out."""

from collections.abc import Callable
from statistics import mean
from typing import Any

import torch
from memory import available, peak_extra_bytes
from registry import NO_RIVALS, Case, Inputs, Run, Unavailable
from timing import COPY_BYTES, GEMM_FLOPS, Times, ceilings, interleaved, overhead

# Ours is judged by another's error: one that computes something else is no judge.
BASELINE_ERROR = 1e-3
DRAWS = 8  # whose mean errors are compared, as spec.py asks, where one draw is over its bound
COARSE = 2.0**-7  # an ulp of bfloat16: what is allowed at the other precisions


def error(result: Inputs, truth: Inputs) -> float:
    """The largest over value and gradients of: largest error / largest element of the truth.

    A NaN stands where the truth has one, or the error is infinite.
    """
    return max(_off(r.double(), t) for r, t in zip(result, truth, strict=True))


def _off(result: torch.Tensor, truth: torch.Tensor) -> float:
    if not torch.equal(result.isnan(), truth.isnan()):
        return float("inf")
    most = truth.nan_to_num().abs().max()
    off = (result - truth).nan_to_num().abs().max()
    return (off / most).item() if most > 0 else float(off > 0)


def measure(
    case: Case,
    providers: list[str],
    rounds: int,
    memory: bool = True,
    bars: bool = True,
    others_out: str = "",
) -> list[dict[str, Any]]:
    """A row for each of the providers: time, error and memory, or why it was skipped.

    others_out: why all that is not this package's is left out.
    """
    if others_out:
        rivals = [name for name in providers if name not in NO_RIVALS]
        providers = [name for name in providers if name in NO_RIVALS]
    with case.setting():
        measured = _Measured(case, providers, rounds, memory, bars)
    if others_out:
        measured.rows += [measured.row(name, skipped=others_out) for name in rivals]
    return measured.rows


class _Measured:
    def __init__(
        self, case: Case, providers: list[str], rounds: int, memory: bool, bars: bool
    ) -> None:
        self.case, self.rounds, self.bars = case, rounds, bars
        self.rows: list[dict[str, Any]] = []
        if case.needs > (free := available()):
            reason = f"needs about {case.needs / 1e9:.1f} GB of memory, {free / 1e9:.1f} are free"
            self.rows = [self.row(name, skipped=reason) for name in providers]
            return
        inputs = case.inputs()
        runs = self._built(inputs, providers)
        errors, allowed = self._errors(inputs, runs)
        wrong = case.ours in errors and not errors[case.ours] <= allowed
        timed = {name: run for name, run in runs.items() if not (wrong and name == case.ours)}
        times = self._times(inputs, timed)
        for name, run in runs.items():
            row = self.row(name, failed=[])
            if name in errors:
                row |= {"error": errors[name], "allowed": allowed}
            self.rows.append(row)
            if name not in timed:
                row["failed"] = ["WRONG"]
                continue
            row |= self._figures(name, times)
            if bars and "microseconds" in case.bars:
                row["overhead"] = overhead(run)
            if memory and (peak := peak_extra_bytes(run)) is not None:
                row |= {"memory": peak, "inputs": sum(z.nbytes for z in inputs)}
        found = {row["provider"]: row for row in self.rows}
        if self.bars and "median" in (mine := found.get(case.ours, {})):
            mine["failed"] = missed(case, mine, found.get(case.baseline, {}))

    def row(self, provider: str, **more: Any) -> dict[str, Any]:
        case = self.case
        shape = "x".join(map(str, case.shape))
        return {
            **{"case": case.name, "family": case.family, "operator": case.operator},
            **{"shape": shape, "precision": case.precision, "provider": provider},
            **more,
        }

    def _built(self, inputs: Inputs, providers: list[str]) -> dict[str, Run]:
        runs: dict[str, Run] = {}
        for name in providers:
            try:
                runs[name] = self.case.providers[name](inputs)
            except Unavailable as reason:
                self.rows.append(self.row(name, skipped=str(reason)))
        return runs

    def _errors(self, inputs: Inputs, runs: dict[str, Run]) -> tuple[dict[str, float], float]:
        """Of every provider that can be judged; and the largest that ours may have."""
        case = self.case
        truth = case.compared(case.truth(inputs))
        judged = [name for name in runs if case.judged is None or name in case.judged]
        errors = {name: error(case.compared(runs[name]()), truth) for name in judged}
        if case.precision != "highest":
            return errors, COARSE
        judge = case.rounding or case.baseline
        errors_of_judge = errors.get(judge)
        if errors_of_judge is None:
            errors_of_judge = error(case.compared(case.providers[judge](inputs)()), truth)
        if not errors_of_judge <= BASELINE_ERROR:
            raise RuntimeError(f"{case.name}: {judge} is off by {errors_of_judge:.1e}")
        allowed = case.factor * errors_of_judge + torch.finfo(torch.float32).eps
        if case.draw is None or case.ours not in errors or errors[case.ours] <= allowed:
            return errors, allowed
        ours, theirs = self._mean_errors(case.draw, judge)
        return {**errors, case.ours: ours}, case.factor * theirs + torch.finfo(torch.float32).eps

    def _mean_errors(self, draw: Callable[[int], Inputs], judge: str) -> tuple[float, float]:
        """Of ours and of the judge over DRAWS draws: a single one is as good as its luck."""
        case, found = self.case, []
        for seed in range(DRAWS):
            inputs = draw(seed)
            truth = case.compared(case.truth(inputs))
            results = (case.providers[name](inputs)() for name in (case.ours, judge))
            found.append([error(case.compared(result), truth) for result in results])
        ours, theirs = (mean(errors) for errors in zip(*found, strict=True))
        return ours, theirs

    def _times(self, inputs: Inputs, runs: dict[str, Run]) -> dict[str, Times]:
        beside = {} if self.case.plain is None else {"plain": self.case.plain(inputs)}
        floors = ceilings() if self.case.flops else {}
        return interleaved({**runs, **beside, **floors}, self.rounds)

    def _figures(self, name: str, times: dict[str, Times]) -> dict[str, Any]:
        case, mine = self.case, times[name]
        row: dict[str, Any] = {"median": mine.median, "spread": mine.spread}
        if case.flops:
            row["units"] = mine.median / (case.flops / GEMM_FLOPS * times["gemm"].median)
            row["gemm_gflops"] = GEMM_FLOPS / times["gemm"].median / 1e9
            row["copy_gbytes"] = COPY_BYTES / times["copy"].median / 1e9
        if case.baseline in times:
            row["ratio"] = times[case.baseline].median / mine.median
        rivals = {n: times[n].median for n in case.providers if n in times and n not in NO_RIVALS}
        if name == case.ours and rivals:
            row["rival"] = min(rivals, key=rivals.__getitem__)
            row["best"] = rivals[row["rival"]] / mine.median
        if "plain" in times:
            row["per_work"] = mine.median / times["plain"].median / case.work
        return row


def missed(case: Case, row: dict[str, Any], baseline: dict[str, Any]) -> list[str]:
    """The bars of the case that a row of ours misses."""
    found = []
    for bar, than in (("ratio", case.baseline), ("best", "the best other")):
        if bar in row and row[bar] < case.bars.get(bar, 0.0):
            found.append(f"{row[bar]:.1f}x {than} is under the bar of {case.bars[bar]}x")
    if row.get("overhead", 0.0) * 1e6 > case.bars.get("microseconds", float("inf")):
        found.append(f"over the bar of {case.bars['microseconds']:.0f} microseconds")
    if row.get("per_work", 0.0) > (most := case.bars.get("per_work", float("inf"))):
        found.append(f"{row['per_work']:.2f} of plain NT-Xent's time is over the bar of {most}")
    if "less_memory" in case.bars and "memory" in row and "memory" in baseline:
        times = baseline["memory"] / max(1, row["memory"])
        if times < case.bars["less_memory"]:
            found.append(f"1/{times:.1f} of the memory misses 1/{case.bars['less_memory']:g}")
    if "memory" in row and row["memory"] > case.bars.get("memory", float("inf")) * row["inputs"]:
        times = row["memory"] / row["inputs"]
        found.append(f"peak {times:.1f}x the inputs is over the bar of {case.bars['memory']}x")
    return found
