"""`tsssl-fast bench`: the benchmark suite on this machine, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

import tsssl_fast
from tsssl_fast.cli.inspecting import app as app

# Those of benchmarks/registry.py, which a test holds them to.
FAMILIES = (
    *("all", "contrastive", "decorrelation", "augment", "masking", "preprocess", "training"),
)


@app.command()
def bench(
    family: Annotated[str, typer.Argument(help=f"One of {', '.join(FAMILIES)}.")] = "all",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Few cases and rounds: minutes instead of an hour.",
            show_default="no",
        ),
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="Write the rows to this file.", show_default="none")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a report with pictures to this file.", show_default="none"),
    ] = None,
    cases: Annotated[
        str, typer.Option(help="Parts of names of cases, comma-separated.", show_default="all")
    ] = "",
    providers: Annotated[
        str, typer.Option(help="Names such as cpp,eager,numpy.", show_default="all")
    ] = "",
    threads: Annotated[int | None, typer.Option(min=1, show_default="torch's")] = None,
    device: Annotated[
        str, typer.Option(help="cpu, or auto, which is the same: the suite is of the CPU.")
    ] = "cpu",
) -> None:
    """Time, error and memory of every operator beside plain torch, numpy and other libraries.

    Exit status 1 where a kernel's error is over its bound, or, without --quick, a bar is missed.
    """
    if family not in FAMILIES:
        raise ValueError(f"family: {family!r}; accepted: {', '.join(FAMILIES)}")
    if device not in ("cpu", "auto"):
        raise ValueError(
            f"device: {device!r}; accepted: cpu, auto; of a GPU "
            "`python benchmarks/gpu_run.py` in a checkout"
        )
    for name, path in (("json", json), ("html", html)):
        if path is not None and not path.resolve().parent.is_dir():
            raise FileNotFoundError(f"{name}: {path}; accepted: a file in a folder that exists")
    command = [sys.executable, str(folder() / "run.py"), family, *(["--quick"] if quick else [])]
    named = {"json": json, "html": html, "cases": cases, "providers": providers, "threads": threads}
    for name, value in named.items():
        command += [f"--{name}", str(value)] if value not in (None, "") else []
    here = str(Path(tsssl_fast.__file__).parents[1])
    places = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": places}, check=False)
    raise typer.Exit(done.returncode)


def folder() -> Path:
    """Of the suite: inside an installed package, beside it in a checkout."""
    package = Path(tsssl_fast.__file__).parent
    places = (package / "benchmarks", package.parent / "benchmarks")
    found = next((place for place in places if (place / "run.py").is_file()), None)
    if found is None:
        raise FileNotFoundError(f"bench: no run.py in {' or '.join(map(str, places))}")
    return found
