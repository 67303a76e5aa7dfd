"""What changing one import buys, and costs: the bars of `tsssl_fast.compat`.

    python benchmarks/experiments/compat_bars.py [--parts step,overhead] [--json F]

step: one step of a script in lightly's style, loss and augmentation apart, before and after
`compat.patch("lightly")` and `tsssl_fast.augment` in the place of its transforms. lightly is stood
in for by our plain-torch form of its published loss (cases/nt_xent.py); the transforms are a
batched plain-torch form and a numpy form that runs once per sample, as in a Dataset's __getitem__.
overhead: modules of compat over our own at 8 x 16, forward and backward, and `process_group=None`
over a call that does not say it, beside the same call against itself (A/A).
Other libraries' losses themselves: `python benchmarks/run.py --cases peer`.
Exit status 1 where a bar is missed. Nothing else may run beside it.
"""

import folder_above as folder_above

# isort: split
import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from run import machine
from suite.common import run
from suite.nt_xent import eager
from timing import interleaved
from torch import Tensor, nn

from tsssl_fast import augment, compat, functional, losses

BATCH, SHAPE, COLUMNS = 1024, (9, 128), 128


@dataclass
class Result:
    name: str
    ours_ms: float
    other_ms: float
    ratio: float  # of the other's time over ours; for overhead ours over the other's
    bar: float | None
    verdict: str


class NTXentLoss(nn.Module):
    """The transcription under lightly's name."""

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, out0: Tensor, out1: Tensor) -> Tensor:
        return eager(out0, out1, self.temperature)


def stand_in() -> ModuleType:
    """A module tree with lightly's names, and a script that has imported from it."""
    names = ("lightly", "lightly.loss", "lightly.models", "lightly.models.modules")
    for name in (*names, "lightly.models.modules.memory_bank"):
        module = ModuleType(name)
        module.__path__ = []
        sys.modules[name] = module
    vars(sys.modules["lightly.loss"])["NTXentLoss"] = NTXentLoss
    script = ModuleType("script")
    exec(
        "from lightly.loss import NTXentLoss\ndef criterion(): return NTXentLoss(0.5)", vars(script)
    )
    sys.modules["script"] = script
    return script


# Reversal, a crop of half to all of the series stretched, a factor per channel, noise.


def batched(x: Tensor) -> Tensor:
    n, channels, steps = x.shape
    x = torch.where(torch.rand(n, 1, 1) < 0.5, x.flip(-1), x)
    width = 0.5 + 0.5 * torch.rand(n, 1)
    start = torch.rand(n, 1) * (1 - width) * steps
    place = start + torch.linspace(0, 1, steps) * (width * steps - 1)
    left = place.floor().long().clamp(0, steps - 2)
    index = left[:, None].expand(-1, channels, -1)
    x = torch.lerp(x.gather(2, index), x.gather(2, index + 1), (place - left)[:, None])
    x = x * (1 + 0.1 * torch.randn(n, channels, 1))
    return x + 0.05 * torch.randn(x.shape)


def per_sample(series: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    channels, steps = series.shape
    if rng.random() < 0.5:
        series = series[:, ::-1]
    width = rng.uniform(0.5, 1) * steps
    place = rng.uniform(0, steps - width) + np.linspace(0, width - 1, steps)
    grid = np.arange(steps)
    series = np.stack([np.interp(place, grid, row) for row in series])
    series = series * rng.normal(1, 0.1, (channels, 1))
    return series + rng.normal(0, 0.05, series.shape)


def two(view: Callable[[], Tensor]) -> Callable[[], Tensor]:
    return lambda: torch.stack([view(), view()])


def step(rounds: int) -> Iterator[Result]:
    x = torch.randn(BATCH, *SHAPE)
    a = torch.randn(BATCH, COLUMNS)
    z = (a, a + 0.5 * torch.randn(BATCH, COLUMNS))
    array, rng = x.numpy(), np.random.default_rng(0)
    pipeline = augment.Compose(
        [
            augment.TimeFlip(p=0.5),
            augment.CropResize((0.5, 1.0)),
            augment.Scale(magnitude=0.1, per_channel=True),
            augment.Jitter(0.05),
        ]
    )
    script = stand_in()
    before = run(script.criterion(), z)
    with compat.patched("lightly") as names:
        print(f"patched: {', '.join(names)}")
        after = run(script.criterion(), z)
    views = {
        "ours": lambda: pipeline(x, views=2),
        "batched": two(lambda: batched(x)),
        "numpy": two(
            lambda: torch.from_numpy(np.stack([per_sample(s, rng) for s in array])).float()
        ),
    }
    quick = {"loss before": before, "loss after": after}
    quick |= {f"views {name}": views[name] for name in ("ours", "batched")}
    times = interleaved(quick, rounds)
    times |= interleaved({"views numpy": views["numpy"]}, max(2, rounds // 3))
    ms = {name: 1e3 * found.median for name, found in times.items()}
    ours = ms["loss after"] + ms["views ours"]
    for name, mine, other, bar in (
        ("loss, patched over transcription", ms["loss after"], ms["loss before"], 2.0),
        ("augmentation over batched torch", ms["views ours"], ms["views batched"], 3.0),
        ("augmentation over numpy per sample", ms["views ours"], ms["views numpy"], None),
        ("step over batched torch", ours, ms["loss before"] + ms["views batched"], None),
        ("step over numpy per sample", ours, ms["loss before"] + ms["views numpy"], 5.0),
    ):
        yield judged(name, mine, other, other / mine, bar, at_least=True)


def pairs() -> dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]]:
    """Of the same loss: a module of compat, and ours."""
    light, labels = compat.lightly, torch.arange(8) % 3
    clip, supervised = compat.open_clip.ClipLoss(), compat.pytorch_metric_learning.SupConLoss()
    return {
        "lightly NTXentLoss": (light.NTXentLoss(), losses.NTXentLoss(temperature=0.5)),
        "lightly DCLLoss": (light.DCLLoss(), losses.DCLLoss()),
        "lightly VICRegLoss": (light.VICRegLoss(), losses.VICRegLoss(convention="lightly")),
        "lightly BarlowTwinsLoss": (
            light.BarlowTwinsLoss(),
            losses.BarlowTwinsLoss(convention="lightly"),
        ),
        "open_clip ClipLoss": (
            lambda a, b: clip(a, b, 10.0),
            lambda a, b: functional.clip_loss(a, b, temperature=0.1, normalize=False),
        ),
        "info_nce InfoNCE": (compat.info_nce.InfoNCE(), losses.InfoNCELoss()),
        "ts_tcc NTXentLoss": (
            compat.ts_tcc.NTXentLoss("cpu", 8, 0.2, True),
            losses.NTXentLoss(temperature=0.2),
        ),
        "official VICRegLoss": (compat.vicreg.VICRegLoss(), losses.VICRegLoss()),
        "solo simclr_loss_func": (
            lambda a, b: compat.solo_learn.simclr_loss_func(torch.cat([a, b]), TWICE, 0.1),
            # Any ids may be positives there: what nt_xent_loss does not take.
            lambda a, b: functional.contrastive_loss(
                torch.cat([a, b]), temperature=0.1, q_ids=TWICE, positives="log_sum"
            ),
        ),
        "pml SupConLoss": (
            lambda a, b: supervised(a, labels) + 0 * b.sum(),
            lambda a, b: functional.sup_con_loss(a, labels, temperature=0.1) + 0 * b.sum(),
        ),
    }


TWICE = torch.arange(8).repeat(2)


def alternating(calls: Sequence[Callable[[], Any]], rounds: int) -> Iterator[float]:
    """Seconds of each in blocks of 20 calls that take turns: first, second, first, ..."""
    for _ in range(rounds):
        for call in calls:
            start = time.perf_counter()
            for _ in range(20):
                call()
            yield (time.perf_counter() - start) / 20


def compared(first: Callable[[], Any], second: Callable[[], Any], rounds: int) -> list[float]:
    """Medians in milliseconds."""
    list(alternating((first, second), 2))
    found = list(alternating((first, second), rounds))
    return [1e3 * statistics.median(found[i::2]) for i in (0, 1)]


def overhead(rounds: int) -> Iterator[Result]:
    generator = torch.Generator().manual_seed(0)
    z = tuple(torch.randn(2, 8, 16, generator=generator).unbind())
    blocks = 4 * rounds
    for name, (theirs, own) in pairs().items():
        mine, other = compared(run(theirs, z), run(own, z), blocks)
        yield judged(f"compat {name}", mine, other, mine / other, 1.15)
    for name, loss in (
        ("nt_xent_loss", functional.nt_xent_loss),
        ("vicreg_loss", functional.vicreg_loss),
    ):

        def silent(a: Tensor, b: Tensor, loss: Any = loss) -> Tensor:
            return loss(a, b)

        def says(a: Tensor, b: Tensor, loss: Any = loss) -> Tensor:
            return loss(a, b, process_group=None)

        same = [compared(run(silent, z), run(silent, z), blocks) for _ in range(3)]
        noise = max(max(x / y, y / x) for x, y in same)
        mine, other = compared(run(says, z), run(silent, z), blocks)
        yield judged(f"process_group=None, {name}; A/A", mine, other, mine / other, noise)


def judged(
    name: str, mine: float, other: float, ratio: float, bar: float | None, at_least: bool = False
) -> Result:
    met = bar is None or (ratio >= bar if at_least else ratio <= bar)
    verdict = "no bar" if bar is None else "met" if met else "missed"
    found = Result(name, mine, other, ratio, bar, verdict)
    bound = "" if bar is None else f"{'>=' if at_least else '<='} {bar:.3f}"
    line = f"{name:44} {mine:9.3f} ms {other:9.3f} ms {ratio:7.3f} {bound:9} {verdict}"
    print(line, flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--parts", default="step,overhead")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    record: dict[str, Any] = {"machine": machine()}
    print(record["machine"])
    parts, found = arguments.parts.split(","), []
    for part, measure in (("step", step), ("overhead", overhead)):
        found += measure(arguments.rounds) if part in parts else ()
    record["bars"] = [asdict(result) for result in found]
    failed = [result.name for result in found if result.verdict == "missed"]
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    print(f"missed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
