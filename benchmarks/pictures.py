"""What a run measured, drawn by matplotlib: ratios, scaling, processors side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from tsssl_fast.report.plots import COLOURS, MARKERS

Rows = Sequence[Mapping[str, Any]]


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", dpi=110)


def ratios(found: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """How many times as fast this package is: case -> series of points -> ratio; at 1 a line."""
    series = list(dict.fromkeys(name for points in found.values() for name in points))
    figure = _figure(9, 1.2 + 0.3 * len(found))
    axes = figure.subplots()
    for number, name in enumerate(series):
        places = [
            (points[name], row) for row, points in enumerate(found.values()) if name in points
        ]
        axes.scatter(
            *zip(*places, strict=True),
            label=name,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            zorder=3,
        )
    axes.axvline(1, color="black", lw=1)
    axes.set_xscale("log")
    axes.set_xlabel("times as fast; left of the line this package is slower")
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def scaling(rows: Rows) -> Figure:
    """Time along N, D, T and threads, a panel a line."""
    lines = list(dict.fromkeys((row["line"], row["axis"]) for row in rows))
    height = -(-len(lines) // 3)
    figure = _figure(11, 3.2 * height)
    panels = figure.subplots(height, 3, squeeze=False).flatten()
    names = list(dict.fromkeys(row["provider"] for row in rows))
    for panel, (line, axis) in zip(panels, lines, strict=False):
        for number, name in enumerate(names):
            points = [
                (row["place"], 1e3 * row["median"])
                for row in rows
                if (row["line"], row["axis"], row["provider"]) == (line, axis, name)
                and "median" in row
            ]
            if points:
                panel.plot(
                    *zip(*points, strict=True),
                    color=COLOURS[number],
                    marker=MARKERS[number],
                    label="tsssl_fast" if name == "cpp" else name,
                )
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_title(line, fontsize=10)
        panel.set_xlabel(axis)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8, frameon=False)
    for panel in panels[len(lines) :]:
        panel.set_axis_off()
    panels[0].set_ylabel("milliseconds")
    return figure
