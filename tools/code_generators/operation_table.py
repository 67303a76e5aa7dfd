"""Prints augment/operation_table.h, made from tsssl_fast/ops/augment/operation_table.py.

    python tools/code_generators/operation_table.py

CMakeLists.txt keeps it in the build folder. Needs nothing but Python: the table is loaded by its
path, without the package and without torch.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tsssl_fast/ops/augment/operation_table.py"

_START = """\
// Written by tools/code_generators/operation_table.py from
// tsssl_fast/ops/augment/operation_table.py, which says what every name means: change that file.
#pragma once

namespace tsssl {
namespace {
"""


def load() -> ModuleType:
    """The table as a module of its own."""
    place = importlib.util.spec_from_file_location("operation_table", TABLE)
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    sys.modules[place.name] = module
    place.loader.exec_module(module)
    return module


def constant(name: str) -> str:
    """k and the words of a name in capitals: FIRST_CHANNEL, first_channel -> kFirstChannel."""
    return "k" + "".join(word.capitalize() for word in name.lower().split("_"))


def _integers(names: dict[str, int]) -> list[str]:
    return [f"constexpr int {constant(name)} = {number};" for name, number in names.items()]


def _namespace(name: str, constants: dict[str, int]) -> list[str]:
    return ["", f"namespace {name} {{", *_integers(constants), f"}}  // namespace {name}"]


def header() -> str:
    """The text of the header."""
    table = load()
    lines = ["", "enum Code : int {"]
    lines += [f"  {constant(code.name)} = {int(code)}," for code in table.KERNELS]
    lines += ["};", "", *_integers({"ARGUMENTS": table.ARGUMENTS, "ACTS": table.ACTS})]
    lines += _namespace("column", {name: i for i, name in enumerate(table.HEADER)})
    for code in table.KERNELS:
        if constants := dict(table.fields(code)):
            lines += _namespace(code.name.lower(), constants)
    lines += _namespace("uniform", {"LOW": table.UNIFORM_LOW, "HIGH": table.UNIFORM_HIGH})
    lines += ["", "// Whether every slot is uniform between the arguments uniform::kLow and kHigh."]
    lines += ["constexpr bool draws_uniform(int code) {", "  switch (code) {"]
    lines += [f"    case {constant(c.name)}:" for c in table.KERNELS if table.TABLE[c].uniform]
    lines += ["      return true;", "    default:", "      return false;", "  }", "}"]
    return _START + "\n".join(lines) + "\n\n}  // namespace\n}  // namespace tsssl\n"


if __name__ == "__main__":
    print(header(), end="")
