"""The forms in which the contrastive Triton kernels are launched: every kernel, dtype and tile
configuration; of the rules' options none, and all that go together."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from gpu_objects.specialisation import Specialisation
from gpu_objects.targets import TARGETS
from tsssl_fast.ops.contrastive.triton import tuning as configs
from tsssl_fast.ops.contrastive.triton.kernels.pair_gradients import pair_gradients
from tsssl_fast.ops.contrastive.triton.kernels.pair_sums import pair_sums
from tsssl_fast.ops.contrastive.triton.kernels.paired import (
    paired_gradients,
    paired_rows,
    paired_sums,
    paired_weights,
)
from tsssl_fast.ops.contrastive.triton.kernels.reduce import combine, gradient_coefficients
from tsssl_fast.ops.contrastive.triton.kernels.rows import finish, prepare
from tsssl_fast.ops.contrastive.triton.launch import COLUMNS, FINISH_WARPS, ROWS, VECTOR

_TORCH = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_F, _I = "*fp32", "i32"
_TYPES = {
    **dict.fromkeys(("row_id", "column_id", "row_group", "column_group", "lengths"), "*i64"),
    **dict.fromkeys(("row_valid", "column_valid", "mask", "valid"), "*u8"),
    **dict.fromkeys(("power", "strength"), "fp32"),
}
_OPERANDS = ("x", "y", "z1", "z2", "out1", "out2")
_SCALARS = (
    *("m", "p", "n", "half", "first", "pitch", "dim", "span", "slots", "splits", "row", "rows"),
    *("row_span", "column_span", "row_slots", "column_slots", "row_step", "column_step", "group"),
    *("mask_row", "mask_column", "group1", "row1", "column1", "group2", "row2", "column2"),
    *("grad_step", "grad_row"),
)
_LOADS = {
    "views": configs.Load.BOTH,
    "ids": configs.Load.BOTH,
    "queue": configs.Load.LIGHT,
    "everything": configs.Load.HEAVY,
}
_RULES = (
    *("row_id", "column_id", "row_group", "column_group", "row_valid", "column_valid"),
    *("mask", "weight"),
)
# Vectors of a number a row, read at any stride.
_NARROW = (combine, gradient_coefficients)
# The caller's strides and columns: multiples of 16 in rows side by side of as many columns.
_STRIDES = ("group1", "row1", "group2", "row2", "dim")


def _form(
    kernel: Any,
    label: str,
    dtype: str,
    absent: tuple[str, ...],
    constants: dict[str, Any],
    warps: int,
    stages: int,
    targets: tuple[str, ...],
    **rest: Any,
) -> Specialisation:
    """Types from the arguments' names; `absent` are None, numbers in `constants` fixed."""
    fixed: dict[str, Any] = {**dict.fromkeys(absent), **constants}
    types: dict[str, str] = {}
    for name in kernel.arg_names:
        if name in fixed:
            continue
        types[name] = (
            f"*{dtype}" if name in _OPERANDS else _I if name in _SCALARS else _TYPES.get(name, _F)
        )
    spans = frozenset({"pitch", "span", "row_span", "column_span"} & set(types))
    rest = {"wide": kernel not in _NARROW} | rest
    return Specialisation(
        kernel, label, types, fixed, warps, stages, targets, multiples=spans, **rest
    )


def _tile(
    kernel: str,
    dtype: str,
    dim: int,
    target: str,
    precision: str,
    load: configs.Load = configs.Load.LIGHT,
) -> dict[str, Any]:
    tile = configs.tiles(kernel, _TORCH[dtype], configs.pitch(dim), target, load)
    constants: dict[str, Any] = {"BM": tile.rows, "BN": tile.columns, "BK": tile.step}
    constants["RESIDENT"] = tile.resident
    constants["PRECISION"] = precision
    if kernel.endswith("gradients"):
        constants["BD"] = configs.width(dim, target)
    return {"constants": constants, "warps": tile.warps, "stages": tile.stages}


def _cases(target: str) -> Iterator[tuple[str, int, str]]:
    """(dtype, columns, precision) with a configuration of its own."""
    for dim in (64, 128, 256):
        yield "bf16", dim, "ieee"
    yield "fp16", 128, "ieee"
    yield "fp32", 128, "ieee"
    if TARGETS[target].backend == "cuda":
        yield "fp32", 128, "tf32x3"
        yield "fp32", 128, "tf32"


def _label(dtype: str, dim: int, precision: str, more: str = "") -> str:
    return f"{dtype} D={dim}" + (f" {precision}" if dtype == "fp32" else "") + more


def _dots(dtype: str, precision: str, target: str) -> bool:
    return not (dtype == "fp32" and precision == "ieee" and TARGETS[target].backend == "cuda")


def _of_pairs(target: str) -> Iterator[Specialisation]:
    for dtype, dim, precision in _cases(target):
        unit = ("r",) if dtype == "fp32" else ()
        gain = () if dtype == "fp16" else ("gain",)
        rest: dict[str, Any] = {"targets": (target,), "dots": _dots(dtype, precision, target)}
        label = _label(dtype, dim, precision)
        for kernel, name, absent in (
            (paired_sums, "paired sums", (*unit, "lengths")),
            (paired_gradients, "paired gradients", (*unit, *gain, "lengths")),
        ):
            yield _form(
                kernel, label, dtype, absent, **_tile(name, dtype, dim, target, precision), **rest
            )
        if precision != "ieee":
            continue
        factors = ("rx", "ry") if dtype == "fp32" else ()
        for options, absent, constants in _options():
            if (options != "ids" and dim != 128) or (dtype == "fp16" and options != "queue"):
                continue
            for kernel, name in ((pair_sums, "sums"), (pair_gradients, "gradients")):
                more = _tile(name, dtype, dim, target, precision, _LOADS[options])
                own = {n: v for n, v in constants.items() if n in kernel.arg_names}
                none = {*absent, *factors, *gain, "scores", "lengths"} & set(kernel.arg_names)
                more["constants"] |= own
                label = _label(dtype, dim, precision, f" {options}")
                # Eight warps have 32 x 16 numbers a step: two for each thread.
                if dtype == "fp32" and (options, name) == ("everything", "sums"):
                    more["wide"] = False
                yield _form(kernel, label, dtype, tuple(sorted(none)), **more, **rest)


def _options() -> Iterator[tuple[str, tuple[str, ...], dict[str, Any]]]:
    """(name, arguments that are None, constants): two views beyond one shift, one set by ids, a
    queue, everything at once."""
    plain = tuple(n for n in _RULES if not n.endswith("_id"))
    none = {"GROUPS": 0, "STATS": False, "mask_column": 1}
    one = {"SELF": True, "ONE_SET": True, "COLUMNS": True, "POSITIVES": 1}
    yield "views", _RULES, {**none, **one, "POSITIVES": 2}
    yield "ids", plain, {**none, **one}
    two = {"SELF": False, "ONE_SET": False}
    yield (
        "queue",
        (*_RULES, "column_slopes"),
        {**none, **two, "COLUMNS": False, "POSITIVES": 0},
    )
    every = {"GROUPS": 1, "STATS": True, "COLUMNS": True, "POSITIVES": 1, "mask_column": 1}
    yield "everything", (), {**every, **two}


def _of_chunks(dtype: str) -> Iterator[Specialisation]:
    """Similarities from memory: two views, and everything at once. Key counts that are multiples of
    16 load 16 bytes at a time."""
    tile = configs.chunk_tiles("sm_80")
    factors = ("rx", "ry") if dtype == "fp32" else ()
    gain = () if dtype == "fp16" else ("gain",)
    block = {"BM": tile.rows, "BN": tile.columns, "BK": tile.step, "RESIDENT": False}
    tail = (tile.warps, tile.stages, tuple(TARGETS))
    for options, absent, given in _options():
        if options != "views" and (options != "everything" or dtype == "fp16"):
            continue
        shared = {**block, "PRECISION": "ieee", **given}
        none = (*absent, *factors, "lengths")
        sums = {**shared, "ONE_SET": False, "COLUMNS": False}
        label = f"{dtype} chunk {options}"
        yield _with(_form(pair_sums, label, dtype, none, sums, *tail), "p")
        slopes = {n: v for n, v in {**shared, "BD": 16}.items() if n in pair_gradients.arg_names}
        form = _form(pair_gradients, label, dtype, (*none, *gain), slopes, *tail)
        yield _with(form, "p", part=f"*{dtype}")  # a chunk's weights are in the operands' dtype
    block = {"BM": tile.rows, "BN": tile.columns}
    unit = ("r",) if dtype == "fp32" else ()
    form = _form(paired_weights, f"{dtype} chunk", dtype, (*unit, *gain), block, *tail)
    yield _with(form, "n", weights=f"*{dtype}")


def _of_wide_sums(target: str) -> Iterator[Specialisation]:
    """Two views of rows that no tile holds: 768 columns stand for all."""
    for dtype in ("bf16", "fp16"):
        tile = _tile("paired sums", dtype, 768, target, "ieee")
        yield _form(
            paired_sums, f"{dtype} wide", dtype, ("lengths",), targets=(target,), dots=True, **tile
        )


def _with(form: Specialisation, *multiples: str, **types: str) -> Specialisation:
    return dataclasses.replace(
        form,
        arguments={**form.arguments, **types},
        multiples=form.multiples | set(multiples),
    )


def _in_whole_rows(form: Specialisation) -> Specialisation:
    return _with(form, *(n for n in _STRIDES if n in form.arguments))


def _at_any_stride(form: Specialisation) -> Specialisation:
    return dataclasses.replace(form, label=f"{form.label}, any stride", wide=False)


def _of_rows(dtype: str) -> Iterator[Specialisation]:
    unit = dtype == "fp32"
    targets = tuple(TARGETS)
    block = {"BM": ROWS, "BD": COLUMNS}
    strides = {"column1": 1, "column2": 1}
    r = ("r",) if unit else ()
    whole = {"NORMALIZE": True, "UNIT": unit, **block, **strides}
    for name, absent in (("", ("valid",)), (" flagged", ())):
        none = (*r, *absent, "lengths")
        form = _form(prepare, f"{dtype}{name}", dtype, none, whole, 4, 2, targets)
        yield _in_whole_rows(form)
        if not name:
            yield _at_any_stride(form)
    gain = () if dtype == "fp16" else ("gain",)
    for name, absent, by_row in (
        ("one shift", (), False),
        ("pairs", ("positive",), False),
        ("chunks", ("positive",), not unit),
        ("chunks, one shift", (), not unit),
    ):
        constants = {"NORMALIZE": True, "BY_ROW": by_row, **block}
        if name.startswith("chunks") and unit:
            continue
        none = (*r, *gain, *absent, "lengths")
        tail = (FINISH_WARPS, 2, targets)
        form = _form(finish, f"{dtype} {name}", dtype, none, constants, *tail)
        if name == "one shift":
            yield _at_any_stride(form)
        form = _in_whole_rows(form)
        yield form
        if by_row:  # fused into the forward: float32
            fused = _with(form, out1=_F, out2=_F)
            yield dataclasses.replace(fused, label=f"{form.label}, fused")
    made = _form(paired_rows, dtype, dtype, (*r, "lengths"), block, 4, 2, targets)
    yield _with(made, beta="fp32")


def _of_vectors() -> Iterator[Specialisation]:
    targets = tuple(TARGETS)
    for name, absent, weighted, stats in (
        ("rows", ("loss", "one_minus_p", "statistics"), False, False),
        ("weighted rows", ("loss", "one_minus_p", "statistics"), True, False),
        ("rows and statistics", ("loss", "one_minus_p"), True, True),
        ("NT-Xent", ("out", "statistics"), False, False),
    ):
        constants = {"WEIGHTED": weighted, "STATS": stats, "BM": VECTOR}
        yield _form(combine, name, "fp32", (*absent, "lengths"), constants, 4, 2, targets)
    for weighted in (False, True):
        constants = {"WEIGHTED": weighted, "grad_row": 1, "BM": VECTOR}
        name = "weighted rows" if weighted else "rows"
        yield _form(gradient_coefficients, name, "fp32", (), constants, 4, 2, targets)


SPECIALISATIONS = [
    *(form for target in TARGETS for form in _of_pairs(target)),
    *(form for target in TARGETS for form in _of_wide_sums(target)),
    *(form for dtype in _TORCH for form in _of_chunks(dtype)),
    *(form for dtype in _TORCH for form in _of_rows(dtype)),
    *_of_vectors(),
]
