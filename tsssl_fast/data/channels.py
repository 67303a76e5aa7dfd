"""Which columns of a table with a row per step are channels; the rules stand in `columns.py`."""

from dataclasses import dataclass, field
from typing import Any

from tsssl_fast.data import columns as roles_of
from tsssl_fast.data import delimited, times
from tsssl_fast.data.cells import Table, listed


@dataclass
class Sorted:
    """Columns without a role, by what they hold; left: with the reason."""

    channels: list[str] = field(default_factory=list)
    clocks: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def chosen(table: Table, order: roles_of.Order, runs: roles_of.Runs) -> list[str]:
    """The columns of the values; says which, and what becomes of the others.

    Those of training are channels whatever they hold here, where the table has all of them.
    """
    roles = table.roles
    if roles.get("values"):
        return [name for name in roles["values"].split(",") if name]
    known = list(table.reading.channels)
    if not all(name in table.header and name not in roles.values() for name in known):
        known = []
    found = _sorted(table, order, runs, known)
    channels, clocks, left = found.channels, found.clocks, found.left
    if known:
        left += [f"{name} (no channel in training)" for name in channels]
        channels = known
    if clocks and not channels:
        channels, clocks = clocks, []
    if clocks and "time" not in roles:
        roles["time"] = clocks[0]
        left += [f"{name} (rises in equal steps: a time)" for name in clocks]
    elif clocks:
        left += [f"{name} (rises in equal steps: another time)" for name in clocks]
    rest = f"; left out: {listed(left)}" if left else ""
    if not channels:
        raise ValueError(
            f"data: {table.path}: no channels{rest}; accepted: a column of numbers beside "
            f"{listed([*roles.values(), *clocks])}"
        )
    told = [role for role in ("series", "label", "group") if role in roles]
    named = "".join(f"; {role}: {roles[role]}" for role in told)
    as_known = " as in training" if known else ""
    table.notes.append(f"channels{as_known}: {listed(channels)}{named}{rest}")
    return channels


def _sorted(table: Table, order: roles_of.Order, runs: roles_of.Runs, known: list[str]) -> Sorted:
    """Those that are not known, sorted out; the first identifier may become the group."""
    roles, found = table.roles, Sorted()
    for name in table.header:
        if name in roles.values() or name in known:
            continue
        whole = times.whole(table.cells[name])
        if whole is not None and roles_of.is_clock(times.since_first(whole)[order], runs):
            found.clocks.append(name)
            continue
        column = table.numbers(name)
        if column is None:
            if not known:
                _check_text(table, name, order, runs)
            found.left.append(f"{name} (text)")
            continue
        column = column[order]
        if roles_of.is_clock(column, runs):
            found.clocks.append(name)
        elif not roles_of.is_identifier(column, runs):
            found.channels.append(name)
        elif "group" not in roles:
            roles["group"] = name
            table.notes.append(f"group: {name}, a whole number constant within every series")
        else:
            found.left.append(f"{name} (constant within every series)")
    return found


def _check_text(table: Table, name: str, order: roles_of.Order, runs: roles_of.Runs) -> None:
    """Raises ValueError for a column of text that says no more of every series than its label."""
    if "label" in table.roles and _is_constant(table.cells[name], order, runs):
        return
    cell, row = delimited.text(table.cells[name], table.decimal)
    role = "time" if times.look_like_dates(table.cells[name]) else "series"
    other = "" if role == "time" else " or label"
    raise ValueError(
        f"data: {table.path}: could not convert string to float: column {name!r} holds "
        f"{cell!r} in line {table.line(row)}; accepted: numbers; say what it is, as in "
        f"columns={{{role!r}: {name!r}}}{other}, or name the channels by "
        "columns={'values': 'A,B'}"
    )


def _is_constant(column: Any, order: roles_of.Order, runs: roles_of.Runs) -> bool:
    cells = column.astype(str).to_numpy(object)[order]
    return all((cells[a:b] == cells[a]).all() for a, b in zip(runs.starts, runs.ends, strict=True))
