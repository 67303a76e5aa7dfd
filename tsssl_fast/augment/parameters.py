"""The drawn parameters as an object: print, save, replay, apply to labels, use as labels."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tsssl_fast.backends import dispatch
from tsssl_fast.ops.augment import operation_table, signals, spec, torch_only
from tsssl_fast.ops.augment.operators.augment import augment
from tsssl_fast.ops.augment.spec import Code, Source


@dataclass(frozen=True)
class Parameters:
    """What a pipeline drew for every view and sample.

    params[i] are those of operation i (groups count, their members follow); str(params) lists
    them; `apply` replays them; `apply_to` moves labels and masks along; `to_json` keeps them.

    Attributes:
        table: (views, N, slots) float64; see ops/augment/README.md.
        labels: per operation its name and the names of its parameters.
        shape: (N, C, T) of the series that they were drawn for.
        sample_ids: (N,) int64, or None; lengths: (N,) int64, steps that are no padding, or None.
    """

    program: Tensor
    labels: tuple[tuple[str, tuple[str, ...]], ...]
    seed: Tensor
    shape: tuple[int, int, int]
    sample_ids: Tensor | None
    lengths: Tensor | None
    table: Tensor

    def __len__(self) -> int:
        """The number of operations, those of groups included."""
        return len(self.labels)

    @property
    def acts(self) -> Tensor:
        """(views, N, operations) bool: which operations act; pretext labels."""
        return self.table[..., self._bounds()[:-1]] != 0

    def __getitem__(self, i: int) -> Mapping[str, Tensor]:
        """Operation i: "acts" (views, N) bool, its parameters (views, N), "values" (views, N, K).

        "values" holds the parameters that have no name: per channel, per knot, the order.
        """
        begin, end = self._bounds()[i], self._bounds()[i + 1 or len(self.labels)]
        names = self.labels[i][1]
        columns = self.table[..., begin:end]
        named = {name: columns[..., 1 + k] for k, name in enumerate(names) if name != "unused"}
        return {"acts": columns[..., 0] != 0, **named, "values": columns[..., 1 + len(names) :]}

    def apply(self, x: Tensor, *, backend: str | None = None) -> Tensor:
        """Replays the parameters on a batch of the shape they were drawn for: (views, N, C, T).

        Raises ValueError for another shape, or where `table` was changed: kernels trust what they
        replay.
        """
        if tuple(x.shape) != self.shape:
            raise ValueError(f"x: shape {tuple(x.shape)}; accepted: {self.shape}")
        self._check_table()
        name = dispatch.backend_name(backend)
        return self._replayed(x, self.program, self.table, name)

    def index_map(self) -> Tensor:
        """(views, N, T) float64: the step of the input that every step of a view reads.

        NaN where it reads none (a zero came in). Steps between two samples are fractions. Raises
        ValueError where `table` was changed.
        """
        self._check_table()
        n, _, t = self.shape
        ramp = torch.arange(t, dtype=torch.float64).expand(n, 1, t)
        there = self._move(torch.ones_like(ramp)) != 0
        return torch.where(there, self._move(ramp), torch.nan)[:, :, 0]

    def apply_to(self, labels: Tensor, fill: Any = 0) -> Tensor:
        """Moves labels or masks as the series moved, by the nearest step.

        MixUp and CutMix move no time: who was mixed with whom, and how much, is in their
        parameters "source" and "weight".

        Args:
            labels: (N, T), or (N, K, T) with any K; K = C follows the channels as well. Any dtype.
            fill: stands where a view reads no step of the input.

        Returns:
            (views, N, T) or (views, N, K, T), in the dtype of labels.

        Raises ValueError for another shape, or where `table` was changed.
        """
        n, c, t = self.shape
        if labels.dim() not in (2, 3) or labels.shape[0] != n or labels.shape[-1] != t:
            raise ValueError(
                f"labels: shape {tuple(labels.shape)}; accepted: (N, T) = ({n}, {t}) or (N, K, T)"
            )
        source = self.index_map()
        index = torch.nan_to_num((source + 0.5).floor()).long().clamp(0, t - 1).to(labels.device)
        missing = source.isnan().to(labels.device)
        moved = labels.expand(len(index), *labels.shape)
        if labels.dim() == 3:
            if labels.shape[1] == c:
                channel = self._channel_map().to(labels.device)
                moved = moved.gather(2, channel[..., None].expand(moved.shape))
            index, missing = index[:, :, None], missing[:, :, None]
        moved = moved.gather(-1, index.expand(moved.shape))
        return torch.where(missing, torch.full((), fill, dtype=labels.dtype), moved)

    def overlap(self, first: int = 0, second: int = 1) -> Tensor:
        """(N,) float64: the share of time that two views have in common.

        Intersection over union of the intervals of input steps that they read.
        """
        source = self.index_map()
        low = torch.nan_to_num(source, nan=torch.inf).amin(-1)
        high = torch.nan_to_num(source, nan=-torch.inf).amax(-1)
        both = torch.minimum(high[first], high[second]) - torch.maximum(low[first], low[second])
        union = torch.maximum(high[first], high[second]) - torch.minimum(low[first], low[second])
        return torch.where(union > 0, both.clamp_min(0) / union, 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists; every float64 survives JSON."""
        return {
            "format": 1,
            "program": self.program.tolist(),
            "labels": [[name, list(names)] for name, names in self.labels],
            "seed": self.seed.tolist(),
            "shape": list(self.shape),
            "sample_ids": None if self.sample_ids is None else self.sample_ids.tolist(),
            "lengths": None if self.lengths is None else self.lengths.tolist(),
            "table": self.table.tolist(),
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict())

    @staticmethod
    def from_dict(state: Mapping[str, Any]) -> "Parameters":
        """The inverse of to_dict.

        Raises ValueError for another format, or a table that the seed does not draw: kernels trust
        what they replay.
        """
        if state.get("format") != 1:
            raise ValueError(f"format: {state.get('format')}; accepted: 1")

        def whole(values: Any) -> Any:
            return None if values is None else torch.tensor(values, dtype=torch.int64)

        program = torch.tensor(state["program"], dtype=torch.float64).reshape(-1, spec.COLUMNS)
        n, c, t = state["shape"]
        slots = spec.bounds(program.tolist(), c)[-1]
        table = torch.tensor(state["table"], dtype=torch.float64).reshape(-1, n, slots)
        seed, ids, lengths = (whole(state[name]) for name in ("seed", "sample_ids", "lengths"))
        labels = tuple((name, tuple(names)) for name, names in state["labels"])
        params = Parameters(program, labels, seed, (n, c, t), ids, lengths, table)
        params._check_table()
        return params

    @staticmethod
    def from_json(text: str) -> "Parameters":
        """The inverse of to_json. Raises as from_dict; ValueError for other text."""
        return Parameters.from_dict(json.loads(text))

    def __str__(self) -> str:
        views, n = self.table.shape[:2]
        lines = [f"Parameters of {views} views of {n} series, C={self.shape[1]}, T={self.shape[2]}"]
        for i, (name, _) in enumerate(self.labels):
            given = self[i]
            acts = given["acts"]
            line = f"  {name}: acts on {int(acts.sum())} of {acts.numel()}"
            for key, value in given.items():
                if key not in ("acts", "values") and acts.any():
                    chosen = value[acts]
                    line += f", {key} {chosen.min():.4g} to {chosen.max():.4g}"
            lines.append(line)
        return "\n".join(lines)

    def _check_table(self) -> None:
        # Kernels draw sample by sample; who is mixed with whom takes the batch.
        backend = "reference" if torch_only.has_plain(self.program.tolist()) else ""
        sampled = torch.ops.tsssl_fast.augment_sample(
            *(self.program, self.seed, len(self.table), self.shape, self.sample_ids, self.lengths),
            backend,
        )
        if not torch.equal(sampled, self.table):
            raise ValueError("table: numbers that the seed does not draw; accepted: those it does")

    def _bounds(self) -> list[int]:
        return spec.bounds(self.program.tolist(), self.shape[1])

    def _move(self, series: Tensor) -> Tensor:
        """(N, 1, T) float64 through the operations that move time alone: (views, N, 1, T)."""
        rows, bounds = self.program.tolist(), self._bounds()
        kept, columns = [], []
        for row, begin, end in zip(rows, bounds[:-1], bounds[1:], strict=True):
            if "time" in operation_table.TABLE[Code(int(row[spec.CODE]))].moves:
                kept.append(row)
                columns.append(self.table[..., begin:end])
        if not kept:
            return series.expand(self.table.shape[0], *series.shape)
        table = torch.cat(columns, dim=-1).contiguous()
        return self._replayed(series, torch.tensor(kept, dtype=torch.float64), table, "")

    def _replayed(self, x: Tensor, program: Tensor, table: Tensor, backend: str) -> Tensor:
        """Rows of the program with their columns of the table on (N, C, T)."""
        views, rest = len(table), (self.sample_ids, self.lengths, table)
        if torch_only.has_plain(program.tolist()):
            source = Source(program, self.seed, *rest)
            return torch_only.run(x.expand(views, *x.shape), source, backend)
        replayed: Tensor = augment(x, program, self.seed, views, *rest, backend)
        return replayed

    def _channel_map(self) -> Tensor:
        """(views, N, C): the channel of the input that every channel of a view reads."""
        n, c, _ = self.shape
        source = torch.arange(c).expand(self.table.shape[0], n, c)
        bounds = self._bounds()
        for row, begin in zip(self.program.tolist(), bounds[:-1], strict=True):
            code = Code(int(row[spec.CODE]))
            if "channels" not in operation_table.TABLE[code].moves:
                continue
            order = torch.arange(c - 1, -1, -1).expand(source.shape)
            if code == Code.CHANNEL_PERMUTATION:
                order = self.table[..., begin + 1 : begin + 1 + c].long()
            elif code in signals.CHANNEL_ORDERS:
                order = signals.CHANNEL_ORDERS[code](row, self.table[..., begin:], c)
                order = order.expand(source.shape)
            acts = self.table[..., begin, None] != 0
            if code == Code.FIRST_CHANNEL_SEGMENTS:
                order = torch.zeros_like(source)
                acts = acts & (self.table[..., begin + 1, None] > 1)
            source = torch.where(acts, source.gather(-1, order), source)
        return source
