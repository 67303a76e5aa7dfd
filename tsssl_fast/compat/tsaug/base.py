"""What every augmenter of tsaug shares: shapes, repeats, probability, seed, and the operators."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Union

import numpy as np

Array = np.ndarray[Any, Any]
_SHAPES = "(T,), (N, T) or (N, T, C)"


class Augmenter:
    """Augments time series.

    Args:
        repeats: how often each series is augmented, >= 1; also `augmenter * repeats`.
        prob: probability in (0, 1] that one is augmented; also `augmenter @ prob`.
        seed: an integer, with which every call draws the same, or None.

    Raises: TypeError, ValueError: an argument out of its range.
    """

    shown: ClassVar[tuple[str, ...]] = ()

    def __init__(self, repeats: int = 1, prob: float = 1.0, seed: int | None = None) -> None:
        checked("repeats", repeats, least=1, whole=True, several=False)
        if not isinstance(prob, int | float) or not 0 < prob <= 1:
            raise TypeError(f"prob: {prob}; accepted: a number in (0, 1]")
        np.random.RandomState(seed)  # raises for what is no seed
        self.repeats, self.prob, self.seed = repeats, prob, seed

    def augment(self, X: Array, Y: Array | None = None) -> Any:
        """X: (T,), (N, T) or (N, T, C). Y: a segmentation mask (T,), (N, T) or (N, T, L), or None.

        Returns:
            X augmented, (repeats N, T, C) or with fewer dimensions as X has, in its dtype; with Y,
            both.

        Raises: TypeError, ValueError: another type or shape. RuntimeError: prob below 1 for several
        series that would have different lengths.
        """
        x = _three("X", X)
        y = None if Y is None else _three("Y", Y)
        if y is not None and y.shape[:2] != x.shape[:2]:
            raise ValueError(f"Y: shape {Y.shape}; accepted: (N, T) of X {X.shape}")  # type: ignore[union-attr]
        n, steps, _ = x.shape
        if self.length(steps) != steps and self.repeats * n > 1 and self.prob != 1:
            raise RuntimeError(
                f"prob: {self.prob} with several series; accepted: 1.0, as {type(self).__name__} "
                "changes the length"
            )
        new_x, new_y = self.run(x, y)
        if Y is None:
            return self._shaped(new_x, X)
        return self._shaped(new_x, X), self._shaped(new_y, Y)

    def _shaped(self, new: Any, given: Array) -> Any:
        if given.ndim == 3:
            return new
        return new[0, :, 0] if given.ndim == 1 and self.repeats == 1 else new[:, :, 0]

    def length(self, steps: int) -> int:
        """How many time steps an augmented series has; steps: T of the series."""
        return steps

    def run(self, x: Array, y: Array | None) -> tuple[Array, Array | None]:
        """(N, T, C) -> (repeats N, T, C)."""
        acts = np.random.RandomState(self.seed).uniform(size=self.repeats * len(x)) <= self.prob
        x = np.repeat(x, self.repeats, axis=0)
        y = None if y is None else np.repeat(y, self.repeats, axis=0)
        if acts.any():
            rand = np.random.RandomState(self.seed)
            new_x, new_y = self.core(rand, x[acts], None if y is None else y[acts])
            x[acts] = new_x
            if y is not None:
                y[acts] = new_y
        return x, y

    def core(
        self, rand: np.random.RandomState, x: Array, y: Array | None
    ) -> tuple[Array, Array | None]:
        """What the series that are augmented become: (N, T, C) -> (N, T', C), with masks (N, T, L)
        or None. Raises NotImplementedError here: a subclass has it.
        """
        raise NotImplementedError

    def __mul__(self, repeats: int) -> "Augmenter":
        return self._with(repeats=self.repeats * repeats)

    def __matmul__(self, prob: float) -> "Augmenter":
        return self._with(prob=self.prob * prob)

    def _with(self, **changed: Any) -> "Augmenter":
        new = copy.deepcopy(self)
        vars(new).update(changed)
        Augmenter.__init__(new, new.repeats, new.prob, new.seed)
        return new

    def __add__(self, other: Union["Augmenter", "AugmenterPipe"]) -> "AugmenterPipe":
        return AugmenterPipe([self]) + other

    def __len__(self) -> int:
        """1: one step of a pipe."""
        return 1

    def __repr__(self) -> str:
        names = (*self.shown, "repeats", "prob", "seed")
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({given})"


class AugmenterPipe:
    """Augmenters one after the other: `a + b`."""

    def __init__(self, pipe: Sequence[Augmenter]) -> None:
        self._pipe = [copy.deepcopy(augmenter) for augmenter in pipe]

    def augment(self, X: Array, Y: Array | None = None) -> Any:
        """By one augmenter after the other; arguments and errors as of `Augmenter.augment`."""
        for augmenter in self._pipe:
            found = augmenter.augment(X, Y)
            X, Y = (found, None) if Y is None else found
        return X if Y is None else (X, Y)

    def __add__(self, other: Union[Augmenter, "AugmenterPipe"]) -> "AugmenterPipe":
        if not isinstance(other, Augmenter | AugmenterPipe):
            raise TypeError(f"+: {type(other).__name__}; accepted: an augmenter or a pipe")
        more = [other] if isinstance(other, Augmenter) else other._pipe
        return AugmenterPipe([*self._pipe, *more])

    def __getitem__(self, index: Any) -> Any:
        """A step by its place, or a pipe of those in a slice."""
        found = self._pipe[index]
        return AugmenterPipe(found) if isinstance(found, list) else found

    def __setitem__(self, index: int, value: Augmenter) -> None:
        if not isinstance(index, int) or not isinstance(value, Augmenter):
            raise NotImplementedError("[...] = several: not implemented; set one after the other")
        self._pipe[index] = value

    def __iter__(self) -> Iterator[Augmenter]:
        """The steps, in order."""
        return iter(self._pipe)

    def summary(self, show_params: bool = False) -> None:
        """Raises NotImplementedError: print the pipe."""
        raise NotImplementedError("summary: not implemented; repr(pipe) is what it prints")

    def __repr__(self) -> str:
        return " + ".join(map(repr, self))


def _three(name: str, x: Any) -> Array:
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name}: {type(x).__name__}; accepted: a numpy array {_SHAPES}")
    if not 1 <= x.ndim <= 3:
        raise ValueError(f"{name}: shape {x.shape}; accepted: {_SHAPES}")
    return x.reshape(1, -1, 1) if x.ndim == 1 else x[..., None] if x.ndim == 2 else x


def checked(
    name: str,
    value: Any,
    *,
    least: float = -np.inf,
    most: float = np.inf,
    whole: bool = False,
    several: bool = True,
) -> Any:
    """A number, a tuple (low, high) to draw from or a list to choose from, in its range."""
    kinds = int if whole else (int, float)
    ends = value if several and isinstance(value, tuple | list) else [value]
    kind = "an integer" if whole else "a number"
    accepted = f"{kind} from {least:g} to {most:g}" + (", (low, high) or a list" if several else "")
    if any(isinstance(x, bool) or not isinstance(x, kinds) for x in ends):
        raise TypeError(f"{name}: {value!r}; accepted: {accepted}")
    wrong = isinstance(value, tuple) and (len(value) != 2 or value[0] >= value[1] + (not whole))
    if wrong or not ends or not all(least <= x <= most for x in ends):
        raise ValueError(f"{name}: {value!r}; accepted: {accepted}")
    return value


def chosen(name: str, value: Any, accepted: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: {type(value).__name__}; accepted: {', '.join(accepted)}")
    if value not in accepted:
        raise ValueError(f"{name}: {value!r}; accepted: {', '.join(accepted)}")
    return value


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: {type(value).__name__}; accepted: a bool")
    return value


def numbers(rand: np.random.RandomState, value: Any, size: Any) -> Array:
    """Drawn between the ends of a tuple, or from a list; a number as it is."""
    if isinstance(value, tuple):
        return rand.uniform(low=value[0], high=value[1], size=size)
    return rand.choice(value, size=size) if isinstance(value, list) else np.full(size, value)


def sizes(value: Any) -> list[int]:
    """What a size is drawn from: the end of a tuple is left out."""
    return list(range(*value)) if isinstance(value, tuple) else np.atleast_1d(value).tolist()


def span(x: Array) -> Array:
    """(N, 1, C) greatest minus least over time."""
    width: Array = x.max(axis=1, keepdims=True) - x.min(axis=1, keepdims=True)
    return width


def rows_of(x: Array) -> Array:
    """(N, T, C) -> (N C, T), a copy."""
    return x.swapaxes(1, 2).reshape(-1, x.shape[1]).copy()


def series_of(rows: Array, channels: int) -> Array:
    """The inverse."""
    return rows.reshape(-1, channels, rows.shape[1]).swapaxes(1, 2)
