"""Embeddings of a recording that is still growing: a line in, a line out.

Lines are text with separators, a step each: the channels of the training data, or a header and
columns of these names among others. An encoder that looks back only (`causal`) gives every step
its features, with its state carried; any other gives every window of the length that it was
trained on its pooled features.
"""

import csv
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from tsssl_fast.data import Reading, Scaling
from tsssl_fast.data.delimited import MISSING, SEPARATORS
from tsssl_fast.encoders import Causal
from tsssl_fast.encoders.causal import Stream

PAUSE = 0.1  # seconds between two looks at a file that does not grow


def follow(
    lines: Iterable[str],
    encoder: nn.Module,
    scaling: Scaling,
    length: int,
    *,
    stride: int | None = None,
    names: Sequence[str] = (),
    missing: str = "raise",
    data: str = "lines",
) -> Iterator[tuple[int, Tensor]]:
    """(step, features) as lines come: step is the number, from 0, of the last one that counts.

    features: (F,) on the CPU, in the dtype of the encoder's weights.

    Args:
        lines: of text, each a step; blank ones are left out.
        length: T, the steps of a window, where the encoder is not `encoders.Causal`.
        stride: steps from window to window; None: `length`. Of a causal encoder, from result to
            result; None: 1.
        names: of the channels, to be found in a header; empty: in the order of the columns.
        missing: as `Reading.missing`; "linear" would have to wait for the next value.
        data: where lines come from, for messages.

    Raises ValueError for a line that has other cells, naming it.
    """
    channels = len(scaling.shift)
    place = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    stream = Stream(encoder) if isinstance(encoder, Causal) else None
    stride = stride or (1 if stream else length)
    recent: deque[Tensor] = deque(maxlen=length)
    for step, values in enumerate(_steps(lines, channels, names, missing, data)):
        x = scaling(torch.from_numpy(values)[None, :, None]).to(place)
        if stream is not None:
            z = stream(x)[0, 0]
            if step % stride == 0:
                yield step, z.cpu()
            continue
        recent.append(x)
        if step + 1 >= length and (step + 1 - length) % stride == 0:
            with torch.inference_mode():
                yield step, encoder(torch.cat([*recent], dim=-1))[0].cpu()


def _steps(
    lines: Iterable[str], channels: int, names: Sequence[str], missing: str, data: str
) -> Iterator[np.ndarray]:
    """(C,) float64 of every line."""
    separator, places, width = ",", list(range(channels)), channels
    last = np.zeros(channels)
    first = True
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"data: {data}: line {number}"
        if first:
            separator = max(SEPARATORS, key=line.count)
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
        if first:
            first = False
            if not all(_is_number(cell) for cell in cells):
                places, width = _named(where, cells, names, channels), len(cells)
                continue
        if len(cells) != width:
            raise ValueError(f"{where} has {len(cells)} cells; accepted: {width}")
        values = _values(where, [cells[place] for place in places])
        holes = np.isnan(values)
        if holes.any():
            if missing not in ("forward_backward", "zero"):
                raise ValueError(
                    f"{where} has missing values; accepted: all, or missing='forward_backward' or "
                    "'zero'"
                )
            values[holes] = last[holes] if missing == "forward_backward" else 0.0
        last = values
        yield values


def _named(where: str, header: list[str], names: Sequence[str], channels: int) -> list[int]:
    if names and all(name in header for name in names):
        return [header.index(name) for name in names]
    if not names and len(header) == channels:
        return list(range(channels))
    wanted = ", ".join(names) or f"{channels} columns"
    raise ValueError(f"{where}: columns {', '.join(header)}; accepted: {wanted}")


def _values(where: str, cells: list[str]) -> np.ndarray:
    try:
        values = np.array([np.nan if cell in MISSING else float(cell) for cell in cells])
    except ValueError as error:
        raise ValueError(f"{where}: {error}; accepted: numbers") from None
    if np.isinf(values).any():
        raise ValueError(f"{where} has infinite values; accepted: finite numbers")
    return values


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return cell in MISSING
    return True


def growing(path: Path, over: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """Lines of a file, those to come, too; a line counts once it has its end.

    over: asked whenever there is nothing new; True ends. Raises ValueError where the file shrinks
    or is not UTF-8.
    """
    with path.open("rb") as file:
        part = b""
        while True:
            part += file.readline()
            if part.endswith(b"\n"):
                yield _decoded(path, part)
                part = b""
                continue
            if over():
                return
            if os.stat(path).st_size < file.tell():
                raise ValueError(f"data: {path}: became shorter; accepted: a file that grows")
            time.sleep(PAUSE)


def _decoded(path: Path, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"data: {path}: not UTF-8 ({error}); accepted: UTF-8") from None


def stride_of(reading: Reading, length: int) -> int | None:
    """Steps from window to window of `length` steps; None where the reading has no stride."""
    if not reading.stride:
        return None
    rate = reading.rate or 1e6  # the share of a window is the same at any
    return max(1, round(length * reading.steps("stride", rate) / reading.steps("window", rate)))


class Lines:
    """Writes a line for each embedding, whole and at once: `step,f0,f1,...`, or JSON."""

    def __init__(self, file: IO[str], as_json: bool) -> None:
        self.file, self.as_json, self.count = file, as_json, 0

    def __call__(self, step: int, features: Tensor) -> None:
        values: list[Any] = [float(f"{value:.7g}") for value in features.tolist()]
        if self.as_json:
            line = f'{{"step": {step}, "features": {values}}}\n'
        else:
            line = ",".join(map(str, [step, *values])) + "\n"
            if not self.count:
                line = ",".join(["step", *(f"f{i}" for i in range(len(values)))]) + "\n" + line
        self.file.write(line)
        self.file.flush()
        self.count += 1
