"""`tsssl-fast inspect`: what a file holds, in words and one picture."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tsssl_fast.cli.exporting import app as app
from tsssl_fast.cli.flags import with_flags
from tsssl_fast.cli.options import Json, reading, say, with_reading


@app.command()
@with_reading()
def inspect(
    data: Annotated[str, typer.Argument(help="As --data of the other commands.")],
    out: Annotated[
        Path | None, typer.Option(help="The picture.", show_default="NAME-inspect.png, here")
    ] = None,
    picture: Annotated[bool, typer.Option(help="Draw it.")] = True,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Say what DATA holds, draw some of it, and name the command to run next."""
    from tsssl_fast.data import prepared
    from tsssl_fast.data.inspection import inspection
    from tsssl_fast.report import plots

    how = reading(given)
    read, rate = prepared(data, how)
    found = inspection(data, read, how, rate)
    if picture:
        out = out or Path(f"{found.name}-inspect.png")
        plots.inspection(found, read, out)
    say(as_json, _text(found, out), picture=out, **asdict(found))


def _text(found: Any, picture: Path | None) -> str:
    lines = [f"{found.name}"]
    for split, count in found.series.items():
        low, middle, high = found.steps[split]
        steps = f"{low} steps" if low == high else f"{low} to {high} steps, half up to {middle:g}"
        missing = found.missing[split]
        lines.append(f"  {split}: {count} series, {steps}, {missing:.2%} of the values missing")
    names = ", ".join(found.channels[:20]) + (" ..." if len(found.channels) > 20 else "")
    lines.append(f"  channels: {len(found.channels)} ({names})")
    lines.append(f"  constant channels: {', '.join(found.constant) or 'none'}")
    lines.append(f"  sampling rate: {f'{found.rate:g} Hz' if found.rate else 'unknown'}")
    for split, counts in found.labels.items():
        shown = ", ".join(f"{name or 'without a label'} {n}" for name, n in counts.items())
        lines.append(f"  labels, {split}: {shown}")
    if found.targets is not None:
        lines.append("  targets: {:g} to {:g}, mean {:g}".format(*_ends(found.targets)))
    if not found.labels and found.targets is None:
        lines.append("  labels: none")
    if found.groups is not None:
        lines.append(f"  groups: {found.groups}")
    lines += [f"  note: {with_flags(note)}" for note in found.notes]
    lines += [f"picture: {picture}"] if picture else []
    return "\n".join([*lines, f"next: {found.command}"])


def _ends(targets: tuple[float, float, float]) -> tuple[float, float, float]:
    low, mean, high = targets
    return low, high, mean
