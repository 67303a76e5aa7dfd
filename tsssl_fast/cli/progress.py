"""What the commands show while they run, and the accuracy table at the end."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tsssl_fast.evaluate import Regression, Result, interval


class EpochsBar:
    """A progress bar on stderr from the first epoch on, where that is a terminal; call it with each
    epoch's means."""

    def __init__(self, title: str, epochs: int) -> None:
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs, loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            refresh_per_second=2,  # each takes the interpreter for 8 ms: 4 % of an epoch at 10
        )
        self.task = self.bar.add_task(title, total=epochs, loss="-")
        self.losses: list[float] = []
        self.start = time.perf_counter()

    def __enter__(self) -> "EpochsBar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def __call__(self, row: Mapping[str, float]) -> None:
        self.bar.start()
        self.losses.append(row["loss"])
        self.bar.update(self.task, completed=int(row["epoch"]) + 1, loss=f"{row['loss']:.3f}")

    def summary(self) -> str:
        seconds = time.perf_counter() - self.start
        if not self.losses:
            return "already finished"
        return f"loss {self.losses[0]:.3f} -> {self.losses[-1]:.3f} in {seconds:.1f} s"


class RowsBar:
    """A progress bar on stderr, where that is a terminal, of the series that encoders have seen."""

    def __init__(self, title: str, total: int | None) -> None:
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("series"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            refresh_per_second=2,
        )
        self.task = self.bar.add_task(title, total=total)

    def watch(self, encoder: Any) -> Any:
        """The encoder; the bar moves with each of its batches."""
        encoder.register_forward_hook(
            lambda _module, given, _y: self.bar.advance(self.task, len(given[0]))
        )
        return encoder

    def __enter__(self) -> "RowsBar":
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()


def accuracy_table(title: str, rows: Mapping[str, Mapping[str, Result]], n: int) -> None:
    """Accuracies on n test series, each with its interval of 95 % confidence."""
    table = Table(title=title)
    table.add_column("encoder")
    for column in next(iter(rows.values())):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        cells = []
        for result in row.values():
            low, high = interval(result.accuracy, n)
            cells.append(f"{result.accuracy:.3f} ({low:.2f}-{high:.2f})")
        table.add_row(name, *cells)
    Console().print(table)


def error_table(title: str, rows: Mapping[str, Regression]) -> None:
    """RMSE and MAE in units of the targets, and R2."""
    table = Table(title=title)
    table.add_column("encoder")
    for column in ("RMSE", "MAE", "R2"):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        table.add_row(name, f"{row.rmse:.4g}", f"{row.mae:.4g}", f"{row.r2:.3f}")
    Console().print(table)
