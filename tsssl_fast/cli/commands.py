"""The commands and their options; the work is done by the library."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tsssl_fast.cli.options import (
    Column,
    Data,
    Missing,
    Unequal,
    numbers,
    pairs,
    with_settings,
)

app = typer.Typer(
    help="Self-supervised learning on time series with compiled kernels.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from tsssl_fast import __version__

        print(f"tsssl_fast {__version__}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the picture and the checkpoint.")] = Path(
        "tsssl-fast-demo"
    ),
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Pre-train SimCLR-TS on BasicMotions, evaluate the frozen encoder, draw what happened."""
    from tsssl_fast.cli.demo import run

    run(out, seed)


@app.command()
@with_settings()
def pretrain(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint.pt and log.csv.")],
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=NUMBER of the method, such as temperature=0.2.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file of these settings; flags win over it.")
    ] = None,
    missing: Missing = "raise",
    unequal: Unequal = "raise",
    column: Column = None,
    unlabelled: Annotated[bool, typer.Option(help="The data may come without labels.")] = False,
    resume: Annotated[bool, typer.Option(help="Continue the run in --out.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace the run in --out.")] = False,
    checkpoint_every: Annotated[
        int, typer.Option(min=0, help="Epochs; 0: a tenth of the run.")
    ] = 0,
    monitor: Annotated[
        bool, typer.Option(help="Log rank, uniformity and kNN accuracy, warn on collapse.")
    ] = True,
    tensorboard: Annotated[bool, typer.Option(help="Write TensorBoard events, too.")] = False,
    profile: Annotated[bool, typer.Option(help="Print where a step's time goes.")] = False,
    **given: Any,
) -> None:
    """Pre-train an encoder on the train split's series and keep it in a folder."""
    from tsssl_fast import training
    from tsssl_fast.cli.progress import EpochsBar
    from tsssl_fast.data import load
    from tsssl_fast.training import checkpoint

    if option:
        given["options"] = numbers(option)
    settings = _settings(out if resume else None, config, given)
    series = load(
        data, missing=missing, labels=not unlabelled, unequal=unequal, columns=pairs(column)
    )
    settings = settings.resolved(series)
    steps = training.StepProfile() if profile else None
    with EpochsBar(settings.method, settings.epochs) as progress:
        training.pretrain(
            series,
            settings,
            out,
            resume=resume,
            overwrite=overwrite,
            checkpoint_every=checkpoint_every,
            progress=progress,
            monitor=monitor,
            tensorboard=tensorboard,
            profile=steps,
        )
    if not progress.losses and settings.devices > 1:
        return  # another process than the first: it has nothing to say
    print(
        f"{settings.method}, {settings.encoder} encoder, {len(series.x_train)} series of "
        f"{series.name}: {progress.summary()}\ncheckpoint: {checkpoint.locate(out)}"
    )
    if steps is not None:
        print(steps.table())


def _settings(run: Path | None, config: Path | None, given: dict[str, Any]) -> Any:
    """What is given, above what the file says, above what the run to go on with had."""
    from tsssl_fast import training
    from tsssl_fast.training import checkpoint

    settings = training.Config()
    if run is not None and checkpoint.locate(run).is_file():
        settings = training.Config(**checkpoint.read(run)["config"])
    if config is not None:
        settings = replace(settings, **training.read_settings(config))
    return replace(settings, **{k: v for k, v in given.items() if v is not None})


@app.command()
def info(
    warm: Annotated[bool, typer.Option("--warm", help="Compile every Numba kernel first.")] = False,
) -> None:
    """Backends with their reasons, instruction set, versions, thread runtime, load errors."""
    from tsssl_fast import info as information

    for line in information.warm() if warm else ():
        typer.echo(line, err=True)
    print(information.report())


@app.command()
def augment(
    data: Annotated[str, typer.Argument(help="A .npz file, a NAME_TRAIN.ts file or a name.")],
    out: Annotated[Path, typer.Option(help="The picture, such as augment.png.")],
    index: Annotated[int, typer.Option(min=0, help="Which training series.")] = 0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    missing: Missing = "raise",
) -> None:
    """Draw what every augmentation makes of one series of DATA."""
    from tsssl_fast import data as datasets
    from tsssl_fast.report import gallery

    x = datasets.load(data, missing=missing, labels=False).x_train
    if index >= len(x):
        raise ValueError(f"index: {index}; accepted: 0 to {len(x) - 1}")
    gallery.draw(x[index], out, seed=seed)
    typer.echo(f"{out}: every augmentation of series {index} of {data}")
