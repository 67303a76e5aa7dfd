"""What a run leaves in its folder: `checkpoint.pt`, `log.csv`, on request TensorBoard events."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tsssl_fast.data import Reading, Scaling
from tsssl_fast.training import checkpoint
from tsssl_fast.training.config import Config
from tsssl_fast.training.loop import State

LOG = "log.csv"


class Writer:
    """Touches the folder with the first epoch's figures, not before.

    epochs: of an earlier run that goes on; the log keeps their lines and drops later ones.
    """

    def __init__(
        self,
        folder: Path,
        config: Config,
        data: dict[str, Any],
        scaling: Scaling,
        reading: Reading,
        epochs: int = 0,
        tensorboard: bool = False,
    ) -> None:
        self.folder = folder
        self.content = {
            "config": config.as_dict(),
            "data": data,
            "scaling": asdict(scaling),
            "reading": reading.as_dict(),
        }
        self.epochs = epochs
        self.columns: list[str] = []
        self.events: Any = _events(folder, epochs) if tensorboard else None
        self.started = False

    def _start(self) -> None:
        self.started = True
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / LOG
        kept: list[dict[str, str]] = []
        if self.epochs and path.exists():
            with path.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if int(row["epoch"]) < self.epochs]
        path.unlink(missing_ok=True)
        for row in kept:
            self._append(row)

    def _append(self, row: Mapping[str, float | str]) -> None:
        if set(row) - set(self.columns):  # the first line, or figures that earlier ones lack
            self.columns += [name for name in row if name not in self.columns]
            self._rewrite()
        with (self.folder / LOG).open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def _rewrite(self) -> None:
        """The log with all columns; earlier lines have nothing in new ones."""
        path = self.folder / LOG
        rows: list[dict[str, str]] = []
        if path.exists():
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
        temporary = path.with_name(f".{LOG}.{os.getpid()}")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, path)

    def log(self, row: Mapping[str, float]) -> None:
        """A line per epoch."""
        if not self.started:
            self._start()
        self._append(row)
        if self.events is not None:
            self.events.log_metrics({k: v for k, v in row.items() if k != "epoch"}, row["epoch"])

    def checkpoint(self, state: State) -> None:
        parts = {"epoch": state.epoch, "model": state.model, "optimizer": state.optimizer}
        checkpoint.write(self.folder, self.content | parts)

    def close(self) -> None:
        if self.events is not None:
            self.events.finalize("success")


def write_log(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """`log.csv` of a run that is over."""
    with (folder / LOG).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _events(folder: Path, epochs: int) -> Any:
    """Fabric's logger; a run that goes on writes another file beside the earlier one."""
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    try:
        return TensorBoardLogger(folder, name="", version="tensorboard", purge_step=epochs)
    except ModuleNotFoundError as error:
        raise ImportError(
            "tensorboard: needs a writer of events; install it by: pip install tensorboardX"
        ) from error
