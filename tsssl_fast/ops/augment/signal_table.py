"""Rows of operation_table for the operations of signals.py, which are plain torch on every backend.

They stand apart because kernels, and the header that is made from the table, know none of them.
Frequencies are in turns per step.
"""

from tsssl_fast.ops.augment import operation_table
from tsssl_fast.ops.augment.operation_table import TABLE, Code, Operation, between

_SINE = Operation(
    "x + magnitude std(x) sin(2 pi (theta + frequency t))",
    {
        **between("magnitude_low", "magnitude_high", "magnitude, standard deviations"),
        **between("frequency_low", "frequency_high", "frequency"),
    },
    {"magnitude": "standard deviations", "frequency": "turns per step"},
    ("theta", "per channel, turns"),
    torch_only=True,
)

SIGNALS = {
    Code.TAPERED_MASK: Operation(
        "a window of time fades to 0",
        {
            "length_unit": "0: the length is a ratio of T, 1: a number",
            **between("length_low", "length_high", "length"),
            "taper": "share of the length on each side over which it fades",
        },
        {"length": "whole steps", "start": "whole steps"},
        torch_only=True,
    ),
    Code.BAND_STOP: Operation(
        "a band of frequencies removed",
        {**between("low", "high", "centre"), **between("width_low", "width_high", "width")},
        {"centre": "turns per step", "width": "turns per step"},
        torch_only=True,
    ),
    Code.BAND_PASS: Operation(
        "all but a band of frequencies removed",
        {**between("low", "high", "lower end"), **between("top_low", "top_high", "upper end")},
        {"bottom": "turns per step", "top": "turns per step"},
        torch_only=True,
    ),
    Code.FREQUENCY_SHIFT: Operation(
        "every frequency moved by the same amount",
        between("low", "high", "shift"),
        {"shift": "turns per step"},
        torch_only=True,
    ),
    Code.BASELINE_WANDER: _SINE,
    Code.POWERLINE_HUM: _SINE,
    Code.COLOURED_NOISE: Operation(
        "x + magnitude std(x) n, the power of n falls as frequency^-exponent",
        {
            **between("low", "high", "magnitude"),
            **between("exponent_low", "exponent_high", "exponent"),
        },
        {"magnitude": "standard deviations", "exponent": "no unit"},
        torch_only=True,
    ),
    Code.CHANNEL_SWAP: Operation(
        "pairs of channels exchanged",
        {"pairs": "how many", "swaps": "from here on: one + 32768 times the other"},
        torch_only=True,
        moves="channels",
    ),
    Code.REREFERENCE: Operation(
        "less a channel, or the mean of all",
        {"average": "1: the mean of all channels, 0: one of them"},
        {"channel": "which"},
        torch_only=True,
    ),
    Code.BAND_ROLL: Operation(
        "rings of channels turned",
        {"size": "channels of a ring", **between("low", "high", "shift, channels")},
        {"shift": "channels"},
        torch_only=True,
        moves="channels",
    ),
    Code.RENORMALISE: Operation("mean 0 and deviation 1 of every channel", torch_only=True),
    Code.OBSERVATION_DROPOUT: Operation(
        "values become missing",
        {"threshold": "of a value", "per_channel": "1: every channel on its own"},
        torch_only=True,
    ),
    Code.JITTERED_STAMPS: Operation(
        "read at t + magnitude u_t, u_t on both sides",
        between("low", "high", "magnitude"),
        {"magnitude": "steps"},
        torch_only=True,
        moves="time",
    ),
    Code.SEGMENT_RECOMBINATION: Operation(  # no row of a program
        "pieces of series of one class", torch_only=True
    ),
}

TABLE.update(SIGNALS)
vars(operation_table).update(operation_table.constants())
