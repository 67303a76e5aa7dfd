"""Series that may be larger than memory: rows are read where they are asked for.

`Rows` is all that is asked of what holds them: a length, a shape, a dtype, and `[rows]`. A mapped
`.npy` file is one; `Parts` puts several files side by side, `Windows` cuts recordings without a
copy. `Series` makes tensors of rows, filled and scaled on the way.
"""

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

HELD = 1 << 26  # bytes: series that are smaller are held in memory as one tensor
# Values that are looked at together. Blocks of 4 times as many left twice the array with the
# allocator (benchmarks/experiments/data_memory.py), which keeps what lies below a number that
# lives on.
BLOCK = 1 << 20


class Rows(Protocol):
    """(N, C, T) numbers: an array, or what reads one. `[rows]` takes an integer, a slice or an
    array of integers, as an array does."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any) -> np.ndarray: ...


class Parts(Sequence[np.ndarray]):
    """Arrays (N_i, C, T) of one C, T and dtype, one after another: (N, C, T)."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self.arrays = arrays
        self.ends = np.cumsum([len(array) for array in arrays])
        self.shape = (int(self.ends[-1]), *arrays[0].shape[1:])
        self.dtype = arrays[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, int | np.integer):
            number = range(len(self))[rows]
            part = int(np.searchsorted(self.ends, number, side="right"))
            return self.arrays[part][number - self.ends[part]]
        wanted = _numbers(rows, len(self))
        found = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        part_of = np.searchsorted(self.ends, wanted, side="right")
        for part in np.unique(part_of):
            places = np.flatnonzero(part_of == part)
            array = self.arrays[part]
            found[places] = array[wanted[places] - (self.ends[part] - len(array))]
        return found


class Windows(Sequence[np.ndarray]):
    """Parts of recordings, which may overlap: (N, C, size).

    recordings: arrays (C, T_i) of one C; places: (N, 2) int64, recording and first step.
    """

    def __init__(self, recordings: Any, places: np.ndarray, size: int) -> None:
        self.recordings, self.places = recordings, places
        self.shape = (len(places), len(recordings[0]), size)
        own = getattr(recordings, "dtype", None)
        self.dtype = own or np.result_type(*{np.asarray(row).dtype for row in recordings})

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        size = self.shape[2]
        if isinstance(rows, int | np.integer):
            recording, start = self.places[rows].tolist()
            return self.recordings[recording][:, start : start + size]
        places = self.places[_numbers(rows, len(self))]
        found = np.empty((len(places), *self.shape[1:]), self.dtype)
        for row, (recording, start) in zip(found, places.tolist(), strict=True):
            row[:] = self.recordings[recording][:, start : start + size]
        return found

    def take(self, rows: np.ndarray) -> "Windows":
        return Windows(self.recordings, self.places[rows], self.shape[2])


class Series:
    """(N, C, T) series of which rows are read, changed and made a tensor when they are asked for.

        series[rows]  (n, C, T) on the CPU; rows: a slice, or an int64 or bool tensor

    source: where they are; dtype: of the tensors; changes: functions of a tensor (n, C, T), in
    order, each of which knows nothing of other rows.
    """

    def __init__(
        self,
        source: Rows,
        dtype: torch.dtype | None = None,
        changes: tuple[Callable[[Tensor], Tensor], ...] = (),
    ) -> None:
        self.source = source
        self.dtype = tensor_dtype(source.dtype) if dtype is None else dtype
        self.changes = changes

    @property
    def shape(self) -> torch.Size:
        """(N, C, T)."""
        return torch.Size(self.source.shape)

    @property
    def device(self) -> torch.device:
        """Where rows are put: the CPU."""
        return torch.device("cpu")

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, were they held in memory."""
        return self.shape.numel() * self.dtype.itemsize

    def dim(self) -> int:
        """3, as a tensor of series has."""
        return len(self.shape)

    def __len__(self) -> int:
        """N."""
        return len(self.source)

    def __getitem__(self, rows: Any) -> Tensor:
        """Rows by a slice or an int64 or bool tensor: (n, C, T), read and changed."""
        rows = rows.numpy() if isinstance(rows, Tensor) else rows
        if isinstance(rows, np.ndarray) and rows.dtype == bool:
            rows = np.flatnonzero(rows)
        x = _tensor(self.source[rows], self.dtype if not self.changes else None)
        for change in self.changes:
            x = change(x)
        return x.to(self.dtype)

    def changed(
        self, change: Callable[[Tensor], Tensor], dtype: torch.dtype | None = None
    ) -> "Series":
        """With a function more that rows go through."""
        return Series(self.source, dtype or self.dtype, (*self.changes, change))

    def take(self, rows: Tensor) -> "Series":
        """The series `rows`, an int64 or bool tensor, in that order; none is read."""
        numbers = np.arange(len(self))[rows.numpy()]
        return Series(taken(self.source, numbers), self.dtype, self.changes)

    def held(self) -> Tensor:
        """All of them in memory; an array in memory or a large mapped one is not copied."""
        source: Any = self.source
        if not self.changes and isinstance(source, np.ndarray):
            ours = source.flags["C_CONTIGUOUS"] and source.dtype.isnative
            small = is_mapped(source) and source.nbytes <= HELD  # its file may change: copied
            if ours and tensor_dtype(source.dtype) == self.dtype and not small:
                same = source.dtype in (np.float32, np.float64) and source.flags["WRITEABLE"]
                if same:
                    return torch.from_numpy(source)
        found = torch.empty(self.shape, dtype=self.dtype)
        for start, part in blocks(self):
            found[start : start + len(part)] = part
        return found


def blocks(x: Tensor | Series) -> Iterator[tuple[int, Tensor]]:
    """Some rows of x (N, C, T) at a time, and the number of the first."""
    rows = max(1, BLOCK // max(1, x.shape[1] * x.shape[2]))
    for start in range(0, len(x), rows):
        yield start, x[start : start + rows]


def unless_small(x: Tensor | Series) -> Tensor | Series:
    """x itself, or, of a large tensor on the CPU, the same rows for changes without a copy."""
    if isinstance(x, Series) or x.device.type != "cpu" or x.nbytes <= HELD:
        return x
    return Series(x.numpy())


def taken(source: Any, rows: np.ndarray) -> Any:
    """The rows of a source, in that order; those of a large one stay where they are."""
    if isinstance(source, Windows):
        return source.take(rows)
    if isinstance(source, np.ndarray) and source.nbytes <= HELD:
        return source[rows]
    places = np.stack([rows, np.zeros(len(rows), np.int64)], axis=1)
    return Windows(source, places, source.shape[2])


def collected(batches: Iterable[Any], folder: str | Path | None = None) -> np.ndarray:
    """Batches (n_i, C, T) one after another, in a mapped temporary file: (N, C, T).

    The file is gone with the array. batches: tensors or arrays of floating numbers of one C, T and
    dtype; only one is in memory at a time. folder: where the file is; None: the system's place for
    temporary files (TMPDIR).

    Raises TypeError for what is no batch, ValueError for one of another shape or dtype, or none.
    """
    shape: tuple[int, ...] = ()
    kind: Any = None
    with tempfile.TemporaryFile(dir=folder) as file:
        count = 0
        for number, batch in enumerate(batches):
            array = batch.detach().cpu().numpy() if isinstance(batch, Tensor) else batch
            if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
                given = getattr(batch, "dtype", type(batch).__name__)
                raise TypeError(
                    f"batches: batch {number} is {given}; accepted: float32 or float64 tensors or "
                    "arrays (n, C, T)"
                )
            if array.ndim != 3 or 0 in array.shape[1:]:
                raise ValueError(
                    f"batches: batch {number} has shape {array.shape}; accepted: (n, C, T)"
                )
            shape, kind = shape or array.shape[1:], kind or array.dtype
            if (array.shape[1:], array.dtype) != (shape, kind):
                raise ValueError(
                    f"batches: batch {number} is {array.dtype} {array.shape}; accepted: {kind} "
                    f"(n, {shape[0]}, {shape[1]}), as the first"
                )
            file.write(np.ascontiguousarray(array).data)
            count += len(array)
        if not count:
            raise ValueError("batches: none; accepted: one or more of shape (n, C, T)")
        file.flush()
        return _mapped(file, kind, (count, *shape))


def allocated(shape: tuple[int, ...], kind: Any = np.float64) -> np.ndarray:
    """Of that dtype, in memory; in a temporary file where it takes more than a quarter of the
    machine's memory."""
    dtype = np.dtype(kind)
    size = dtype.itemsize * math.prod(shape)
    if size <= memory() // 4:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return _mapped(file, dtype, shape)


def is_mapped(array: Any) -> bool:
    """Whether an array's memory is that of a file."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


def memory() -> int:
    """Bytes of this machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 1 << 36


def tensor_dtype(kind: Any) -> torch.dtype:
    """float32 for what it holds exactly: floats of up to 32 bits, integers of up to 16; else
    float64."""
    narrow = kind.itemsize <= 4 if kind.kind == "f" else kind.itemsize <= 2
    return torch.float32 if narrow else torch.float64


def _mapped(file: Any, kind: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.memmap(file, kind, "r+", shape=shape)


def _tensor(rows: np.ndarray, dtype: torch.dtype | None) -> Tensor:
    kind = tensor_dtype(rows.dtype) if dtype is None else dtype
    wanted = np.float32 if kind == torch.float32 else np.float64
    return torch.from_numpy(np.array(rows, wanted, order="C"))


def _numbers(rows: Any, n: int) -> np.ndarray:
    return np.arange(*rows.indices(n)) if isinstance(rows, slice) else np.asarray(rows)
