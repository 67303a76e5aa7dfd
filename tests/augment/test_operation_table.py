"""One table of operations, from which every backend has its names."""

import pathlib
import re

import pytest
from cases.augment import PINNED
from code_generators import operation_table as generator

from tsssl_fast import augment
from tsssl_fast.ops.augment import operation_table as names
from tsssl_fast.ops.augment import spec
from tsssl_fast.ops.augment.operation_table import TABLE, Code
from tsssl_fast.ops.augment.reference import augment as reference

ROOT = pathlib.Path(__file__).parents[2]
PYTHON = sorted((ROOT / "tsssl_fast/ops/augment").rglob("*.py"))
CPP = sorted((ROOT / "csrc/augment").glob("*"))

# Code for both of them has the first one's names.
ALIKE = (
    (Code.RANDOM_NOISE, Code.JITTER),
    (Code.RANDOM_CROP, Code.WINDOW_WARP),
    (Code.CROP_RESIZE, Code.WINDOW_SLICE),
    (Code.DRIFT, Code.MAGNITUDE_SPLINE),
    (Code.SEGMENT_PERMUTATION, Code.FIRST_CHANNEL_SEGMENTS),
    (Code.MIXUP, Code.CUTMIX),
    (Code.BASELINE_WANDER, Code.POWERLINE_HUM),
)


def rows():
    """Every row of the pinned programs, with the name of its case."""
    for name, transform in PINNED.items():
        for row in augment.Compose([transform])._program.tolist():
            yield name, Code(int(row[spec.CODE])), row


def test_the_header_has_what_the_kernels_need():
    header = generator.header()
    assert "  kOffset = 37,\n};" in header
    assert "namespace blockout {\nconstexpr int kLengthUnit = 0;\n" in header
    defined = set(re.findall(r"\b(k[A-Z]\w*) = \d+", header))
    assert {generator.constant(code.name) for code in names.KERNELS} <= defined


def test_every_code_has_a_line():
    assert set(TABLE) == set(Code)
    assert set(names.KERNELS) == set(reference.OPERATIONS)
    # Triton keeps a set of codes in 64 bits, the stream has 8 bits for one.
    assert max(names.KERNELS) < 63
    assert max(Code) < 256


def test_a_name_means_one_thing():
    listed = [*names.HEADER, "ACTS", "UNIFORM_LOW", "UNIFORM_HIGH", *(c.name for c in Code)]
    for code in Code:
        listed += [f"{code.name}_{name.upper()}" for name, _ in names.fields(code)]
    assert len(set(listed)) == len(listed)
    assert set(listed) == set(names.constants())


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.name)
def test_a_line_fits_into_a_row(code):
    operation = TABLE[code]
    assert len(operation.arguments) <= spec.ARGUMENTS
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name, _ in names.fields(code))
    if operation.uniform:
        low, high, *_ = operation.arguments
        assert (low, high) == ("low", "high")


@pytest.mark.parametrize("pair", ALIKE, ids=lambda pair: pair[1].name)
def test_what_two_operations_share_stands_at_the_same_places(pair):
    first, second = (dict(names.fields(code)) for code in pair)
    shared = first.keys() & second.keys()
    assert shared
    if pair[0] != Code.MIXUP:
        assert len(shared) >= min(len(first), len(second)) - 1
    assert all(first[name] == second[name] for name in shared - {"low", "high"})


def test_programs_have_the_slots_of_the_table():
    """A row's fixed slots are those with a name, and the list where it is not per channel."""
    seen = set()
    for name, code, row in rows():
        operation, fixed = TABLE[code], int(row[spec.FIXED_SLOTS])
        own = 1 + len(operation.slots)
        listed = operation.slot_list is not None and not row[spec.CHANNEL_SLOTS]
        assert fixed >= own if listed else fixed == own, name
        assert row[spec.CHANNEL_SLOTS] == 0 or operation.slot_list is not None, name
        used = len(operation.arguments)
        if code not in (
            Code.GROUP,
            Code.ROTATION,
            Code.CHANNEL_SWAP,
        ):  # whose last argument is a list
            assert not any(row[len(names.HEADER) + used :]), name
        seen.add(code)
    assert len(seen) > 30


def test_triton_has_the_constants_of_the_table():
    codes = pytest.importorskip("tsssl_fast.ops.augment.triton.kernels.codes")
    given = {name: getattr(codes, name).value for name in names.constants()}
    assert given == names.constants()


def test_kernels_use_names_of_the_table():
    known = set(names.constants()) | {"UNIFORM_CODES", "KERNELS"}
    used = set()
    for path in PYTHON:
        used |= set(re.findall(r"\bnames\.([A-Z][A-Z0-9_]+)\b", path.read_text()))
    assert len(used) > 80
    assert not used - known


@pytest.mark.parametrize("path", [*PYTHON, *CPP], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_argument_or_slot_by_number(path):
    numbered = r"\b(?:a|slot)(?:\[\d|\(\d| \+ \d)|per_channel\(\d|\.arguments\[\d"
    assert not re.findall(numbered, path.read_text())
