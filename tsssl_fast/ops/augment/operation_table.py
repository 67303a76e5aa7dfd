"""The table of operations: the one place where codes, arguments and slots have names and numbers.

A program is a float64 array with one row per operation. A row begins with the columns HEADER; its
arguments follow, in the order in which the table lists them. The parameters drawn for one (view,
sample) are slots: slot 0 of an operation is 1 where it acts, the others follow in the table's
order, a list (one number per channel, knot, ...) at the end. Slot i is drawn from word i, but for
CUTMIX, whose weight follows from its length.

Everything below is also a constant of this module: a code by its name (BLOCKOUT), an argument's
position among the arguments and a slot's number by operation and name (BLOCKOUT_FILL,
BLOCKOUT_START), a value of an argument that chooses by its own (BLOCKOUT_RATIO). Numba and the
reference use these; triton/kernels/codes.py and the C++ kernels' augment/operation_table.h, which
`tools/code_generators/operation_table.py` makes when they are built, follow from them.

Ratios are of T or of C, thresholds are probabilities times 2^32.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:

    def __getattr__(name: str) -> int: ...


# Columns of a row before its arguments. VIEW -1: every view; THRESHOLD: the operation acts where a
# word is below; FIXED_SLOTS counts slot 0; PARENT: the row of the group that it belongs to, or -1;
# CHILD: its number there.
HEADER = (
    *("CODE", "OCCURRENCE", "VIEW", "THRESHOLD", "FIXED_SLOTS", "CHANNEL_SLOTS", "PARENT"),
    "CHILD",
)
ARGUMENTS = 16
COLUMNS = len(HEADER) + ARGUMENTS
ACTS = 0  # the slot that says whether an operation acts


class Code(enum.IntEnum):
    """The stream of an operation: never renumber, every golden vector depends on it."""

    TIME_FLIP = 1
    SIGN_FLIP = 2
    BLOCKOUT = 3
    RANDOM_NOISE = 4
    CROP_RESIZE = 5
    MAGNITUDE_WARP = 6
    TIME_WARP = 7
    SMOOTH = 8
    GROUP = 9
    CHANNEL_FLIP = 10
    BIDIRECTIONAL_FLIP = 11
    JITTER = 12
    RANDOM_CROP = 13
    SCALE = 14
    TIME_SCALE = 15
    CHANNEL_PERMUTATION = 16
    ROTATION = 17
    SEGMENT_PERMUTATION = 18
    TIME_SHIFT = 19
    WINDOW_SLICE = 20
    WINDOW_WARP = 21
    DRIFT = 22
    CHANNEL_DROPOUT = 23
    TIME_DROPOUT = 24
    QUANTIZE = 25
    MAGNITUDE_SPLINE = 26
    IDENTITY = 27
    MIXUP = 28
    CUTMIX = 29
    FREQUENCY_MASK = 30
    PHASE_SURROGATE = 31
    OVERLAPPING_CROPS = 32  # no row of a program
    MOVING_AVERAGE = 33
    INDEX_NOISE = 34
    STEP_SCALE = 35
    FIRST_CHANNEL_SEGMENTS = 36
    OFFSET = 37
    TAPERED_MASK, BAND_STOP, BAND_PASS, FREQUENCY_SHIFT = 38, 39, 40, 41  # from here on in
    BASELINE_WANDER, POWERLINE_HUM, COLOURED_NOISE = 42, 43, 44  # signal_table.py
    CHANNEL_SWAP, REREFERENCE, BAND_ROLL, RENORMALISE = 45, 46, 47, 48
    OBSERVATION_DROPOUT, JITTERED_STAMPS, SEGMENT_RECOMBINATION = 49, 50, 51


@dataclass(frozen=True)
class Operation:
    """One line of the table; names map to what they mean, in order.

    slots leaves out slot 0; slot_list names the list at the end: where it begins, and its meaning.
    uniform: every slot is uniform between the arguments low and high. torch_only: plain torch on
    every backend (torch_only.py).
    """

    meaning: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    slots: Mapping[str, str] = field(default_factory=dict)
    slot_list: tuple[str, str] | None = None
    choices: tuple[str, ...] = ()  # values 0, 1, ... of the argument that chooses
    uniform: bool = False
    torch_only: bool = False
    moves: str = ""  # what changes its place: "time", "channels", or both


def between(low: str, high: str, of: str) -> dict[str, str]:
    """Two arguments, the ends of a range."""
    return {low: f"least {of}", high: f"greatest {of}"}


def _size(of: str, axis: str) -> dict[str, str]:
    return {
        f"{of}_unit": f"0: the {of} is a ratio of {axis}, 1: a number",
        **between(f"{of}_low", f"{of}_high", of),
    }


_FILL = {"fill": "the value written, in units of the series"}
_NOISE = {
    **between("low", "high", "magnitude"),
    "normal": "1: standard normal, 0: uniform on [-1, 1)",
}
_CROP = between("low", "high", "length, a ratio of T")
_WINDOW = {"length": "whole steps", "start": "whole steps"}
_CURVE = ("knots", "knots + 2 normal values per channel")
_SEGMENTS = Operation(
    "T is cut in equal segments, which change their places",
    between("low", "high", "number of segments"),
    {"segments": "how many"},
    ("order", "the place of every segment"),
    moves="time",
)
_MAGNITUDE = between("low", "high", "magnitude")

TABLE: dict[Code, Operation] = {
    Code.TIME_FLIP: Operation("time reversed", moves="time"),
    Code.SIGN_FLIP: Operation(
        "-x; all channels where there are no slots",
        slot_list=("flips", "per channel: 1 for a changed sign"),
    ),
    Code.BLOCKOUT: Operation(
        "a constant in a block of time, or of channels and time",
        {
            "length_unit": "see the choices; SIDE: of the block of equation (8), in channels",
            **between("length_low", "length_high", "length"),
            **_FILL,
            "channels_unit": "-1: all channels, 0: their number is a ratio of C, 1: a number",
            **between("channels_low", "channels_high", "number of channels"),
            "fill_mean": "1: the mean of the channel is written instead of fill",
        },
        {**_WINDOW, "channels": "number", "first_channel": "number"},
        choices=("ratio", "steps", "side"),
    ),
    Code.RANDOM_NOISE: Operation(
        "x + magnitude std(x) r", _NOISE, {"magnitude": "standard deviations"}, uniform=True
    ),
    Code.CROP_RESIZE: Operation(
        "a crop stretched to T",
        _CROP,
        {"length": "steps, real", "start": "steps, real"},
        moves="time",
    ),
    Code.MAGNITUDE_WARP: Operation(
        "x (offset + magnitude sin(2 pi (theta + periods t / T)))",
        {
            **between("magnitude_low", "magnitude_high", "magnitude"),
            **between("periods_low", "periods_high", "number of periods"),
            "literal": "1: the offset is the magnitude, 0: it is 1",
        },
        {"magnitude": "a factor", "periods": "turns per series"},
        ("theta", "per channel, turns"),
    ),
    Code.TIME_WARP: Operation(
        "read at the integral of a speed that is linear between knots",
        _MAGNITUDE,
        {"magnitude": "a ratio of the mean speed"},
        ("speeds", "knots + 2 of them"),
        moves="time",
    ),
    Code.SMOOTH: Operation(
        "(1 - s) x[t] + (s / 2) (x[t - 1] + x[t + 1]), s the magnitude",
        {
            **_MAGNITUDE,
            "passes": "how often",
            "edge": "what stands beyond the ends, see the choices",
        },
        {"magnitude": "no unit"},
        choices=("repeat", "zero", "reflect"),
        uniform=True,
    ),
    Code.GROUP: Operation(
        "says which of its members act",
        {
            "choice": "how they are chosen, see the choices",
            **between("low", "high", "number of members that act"),
            "members": "how many there are",
            "weights": "from here on: by weight, the thresholds between the members",
        },
        {"count": "members that act"},
        ("members_act", "1 or 0 per member"),
        choices=("some", "by_weight", "all"),
    ),
    Code.CHANNEL_FLIP: Operation("channels in reverse order", moves="channels"),
    Code.BIDIRECTIONAL_FLIP: Operation(
        "channels and time in reverse order", moves="time, channels"
    ),
    Code.JITTER: Operation(
        "x + magnitude r", _NOISE, {"magnitude": "units of the series"}, uniform=True
    ),
    Code.RANDOM_CROP: Operation(
        "a constant outside of a window", {**_size("length", "T"), **_FILL}, _WINDOW
    ),
    Code.SCALE: Operation(
        "x times a factor",
        {
            **between("low", "high", "factor, or (normal) standard deviation"),
            "normal": "1: factors are normal around 1, 0: uniform",
            "per_channel": "1: every channel has its own factor, 0: one for all",
        },
        {"magnitude": "standard deviation of normal factors, else 0"},
        ("factors", "per channel"),
    ),
    Code.TIME_SCALE: Operation(
        "read at speed t",
        {
            **between("low", "high", "speed"),
            "zero": "1: zeros behind the end, 0: the last value",
        },
        {"speed": "steps of the series per step"},
        uniform=True,
        moves="time",
    ),
    Code.CHANNEL_PERMUTATION: Operation(
        "channels in random order",
        slot_list=("sources", "per channel: the one that it reads"),
        moves="channels",
    ),
    Code.ROTATION: Operation(
        "triples of channels turned by one rotation",
        {"triples": "how many", "channels": "from here on: three channels each"},
        {"unused": "0", **dict.fromkeys("wxyz", "of the unit quaternion")},
    ),
    Code.SEGMENT_PERMUTATION: _SEGMENTS,
    Code.TIME_SHIFT: Operation(
        "x[t - shift]",
        {**_size("shift", "T"), "edge": "what stands beyond the ends, see the choices"},
        {"shift": "whole steps"},
        choices=("wrap", "repeat", "zero"),
        moves="time",
    ),
    Code.WINDOW_SLICE: Operation(
        "a crop of one length stretched to T",
        _CROP,
        {"length": "steps, real", "start": "steps, real"},
        moves="time",
    ),
    Code.WINDOW_WARP: Operation(
        "a window at another speed, the whole brought back to T",
        {**_size("length", "T"), "factor_0": "one of two", "factor_1": "the other"},
        {**_WINDOW, "factor": "length of the window there over its length here"},
        moves="time",
    ),
    Code.DRIFT: Operation(
        "x + magnitude s(t), s a smooth curve",
        {**_MAGNITUDE, "relative": "1: in standard deviations of the channel"},
        {"magnitude": "units of the series, or standard deviations"},
        _CURVE,
    ),
    Code.CHANNEL_DROPOUT: Operation(
        "a constant in whole channels",
        {"threshold": "of a channel", "unused_0": "", "unused_1": "", **_FILL},
        slot_list=("dropped", "per channel: 1 for dropped"),
    ),
    Code.TIME_DROPOUT: Operation(
        "a constant at masked steps",
        {
            "spans": "1: spans of geometric length, 0: every step on its own",
            "threshold": "of a step, or of the first one",
            "leave": "threshold of a span's end",
            "enter": "threshold of a span's beginning",
            "per_channel": "1: every channel has its own steps",
            **_FILL,
        },
    ),
    Code.QUANTIZE: Operation(
        "rounded to equidistant values",
        between("low", "high", "number of levels"),
        {"levels": "number"},
    ),
    Code.MAGNITUDE_SPLINE: Operation(
        "x (1 + magnitude s(t)), s a smooth curve", _MAGNITUDE, {"magnitude": "a factor"}, _CURVE
    ),
    Code.IDENTITY: Operation("x"),
    Code.MIXUP: Operation(
        "weight x + (1 - weight) source",
        between("low", "high", "weight"),
        {"source": "the other sample, a row of the batch", "weight": "of the sample itself"},
        torch_only=True,
    ),
    Code.CUTMIX: Operation(
        "a window of another sample",
        _size("length", "T"),
        {
            "source": "the other sample, a row of the batch",
            "weight": "of the sample itself",
            **_WINDOW,
        },
        torch_only=True,
    ),
    Code.FREQUENCY_MASK: Operation(
        "frequencies removed",
        {"threshold": "of a frequency", "per_channel": "1: every channel has its own"},
        torch_only=True,
    ),
    Code.PHASE_SURROGATE: Operation(
        "phases turned",
        {"magnitude": "greatest angle, half turns", "per_channel": "1: every channel has its own"},
        torch_only=True,
    ),
    Code.OVERLAPPING_CROPS: Operation("crops of one series that overlap", torch_only=True),
    Code.MOVING_AVERAGE: Operation(
        "the mean of neighbouring steps",
        {
            **between("low", "high", "half width, steps"),
            "edge": "what stands beyond the ends, see the choices",
        },
        {"width": "steps"},
        choices=("repeat", "zero", "reflect"),
        torch_only=True,
    ),
    Code.INDEX_NOISE: Operation(
        "read at t + magnitude u_t",
        _MAGNITUDE,
        {"magnitude": "steps"},
        uniform=True,
        torch_only=True,
        moves="time",
    ),
    Code.STEP_SCALE: Operation(
        "x[t] (2 + magnitude z_t)",
        {**_MAGNITUDE, "unused": "1"},
        {"magnitude": "a factor"},
        uniform=True,
        torch_only=True,
    ),
    Code.FIRST_CHANNEL_SEGMENTS: Operation(
        "segments of channel 0 in every channel",
        _SEGMENTS.arguments,
        _SEGMENTS.slots,
        _SEGMENTS.slot_list,
        torch_only=True,
        moves="time, channels",
    ),
    Code.OFFSET: Operation(
        "x + offset",
        between("low", "high", "offset"),
        slot_list=("offsets", "one, or one per channel; units of the series"),
        uniform=True,
    ),
}

KERNELS = tuple(code for code in TABLE if not TABLE[code].torch_only)
UNIFORM_CODES = tuple(int(code) for code in TABLE if TABLE[code].uniform)
UNIFORM_LOW, UNIFORM_HIGH = 0, 1  # arguments of all of them


def fields(code: Code) -> Iterator[tuple[str, int]]:
    """The constants of one operation: names without the operation's, and numbers."""
    operation = TABLE[code]
    names = [name for name in operation.arguments if not name.startswith("unused")]
    position = {name: i for i, name in enumerate(operation.arguments)}
    yield from ((name, position[name]) for name in names)
    yield from ((name, i) for i, name in enumerate(operation.slots, 1) if name != "unused")
    if operation.slot_list is not None:
        yield operation.slot_list[0], lists(code)
    yield from ((name, i) for i, name in enumerate(operation.choices))


def lists(code: Code) -> int:
    """The slot where an operation's list begins; 0 where it has none."""
    operation = TABLE[code]
    return 0 if operation.slot_list is None else 1 + len(operation.slots)


def constants() -> dict[str, int]:
    """Every constant of the table by its name."""
    named = {name: column for column, name in enumerate(HEADER)}
    named |= {"ACTS": ACTS, "UNIFORM_LOW": UNIFORM_LOW, "UNIFORM_HIGH": UNIFORM_HIGH}
    for code in TABLE:
        named[code.name] = int(code)
        named |= {f"{code.name}_{name.upper()}": number for name, number in fields(code)}
    return named


globals().update(constants())
