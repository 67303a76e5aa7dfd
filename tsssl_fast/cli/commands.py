"""The commands and their options; the work is done by the library."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tsssl_fast.cli.options import (
    Data,
    Device,
    Json,
    MaxTime,
    numbers,
    reading,
    say,
    seconds,
    with_reading,
    with_settings,
)

app = typer.Typer(
    help="Self-supervised learning on time series with compiled kernels.",
    no_args_is_help=True,
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
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Pre-train SimCLR-TS on BasicMotions, evaluate the frozen encoder, draw what happened."""
    from tsssl_fast.cli.demo import run

    run(out, seed, device, as_json)


@app.command()
@with_reading()
@with_settings()
def pretrain(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint.pt and log.csv.")],
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=NUMBER of the method, such as temperature=0.2.",
            show_default="the method's",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A YAML file of these settings; flags win over it.", show_default="none"),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            help="A text file, a line for each train series; --method clip learns it.",
            show_default="none",
        ),
    ] = None,
    unlabelled: Annotated[
        bool,
        typer.Option(
            help="Look at no label, but for the classes by which --test-share draws: without kNN "
            "accuracy in the log."
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option(help="Continue the run in --out; with more --epochs, go on to these.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace the run in --out.")] = False,
    checkpoint_every: Annotated[
        int, typer.Option(min=0, help="Epochs; 0: a tenth of the run.")
    ] = 0,
    monitor: Annotated[
        bool, typer.Option(help="Log rank, uniformity and kNN accuracy, warn on collapse.")
    ] = True,
    tensorboard: Annotated[bool, typer.Option(help="Write TensorBoard events, too.")] = False,
    profile: Annotated[bool, typer.Option(help="Print where a step's time goes.")] = False,
    max_time: MaxTime = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Pre-train an encoder on the train split's series and keep it in a folder."""
    from tsssl_fast import training
    from tsssl_fast.cli.progress import EpochsBar
    from tsssl_fast.data import load
    from tsssl_fast.training import checkpoint

    if option:
        given["options"] = numbers(option)
    run = out if resume and checkpoint.locate(out).is_file() else None
    kept = checkpoint.read(run) if run is not None else None
    how = reading(given, kept, data)
    settings = _settings(kept, config, given)
    limit = seconds("max_time", max_time)
    if unlabelled:
        _check_unlabelled(settings.method)
    series = load(data, labels=None if unlabelled else False, reading=how, in_memory=False)
    series = settings.usable(series)
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
            max_time=limit,
            reading=how,
            texts=_lines(texts),
        )
    if not progress.losses and settings.devices > 1:
        return  # another process than the first: it has nothing to say
    text = (
        f"{settings.method}, {settings.encoder} encoder, {len(series.x_train)} series of "
        f"{series.name}: {progress.summary()}\ncheckpoint: {checkpoint.locate(out)}"
    )
    done = checkpoint.read(out)["epoch"]
    if done < settings.epochs:
        text += f"\nstopped after {done} of {settings.epochs} epochs; --resume goes on"
    say(
        as_json,
        text,
        method=settings.method,
        encoder=settings.encoder,
        data=series.name,
        series=len(series.x_train),
        epochs=done,
        of=settings.epochs,
        losses=progress.losses,
        checkpoint=checkpoint.locate(out),
    )
    if steps is not None:
        print(steps.table(), file=sys.stderr if as_json else sys.stdout)


def _check_unlabelled(method: str) -> None:
    from tsssl_fast.training.config import learns_labels

    if learns_labels(method):
        raise ValueError(
            f"unlabelled: method {method} learns from labels; accepted: without --unlabelled"
        )


def _lines(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    if not path.is_file():
        raise FileNotFoundError(f"texts: {path}: no such file")
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"texts: {path}: not UTF-8 ({error.reason})") from error


def _settings(kept: dict[str, Any] | None, config: Path | None, given: dict[str, Any]) -> Any:
    """What is given, above what the file says, above what the run to go on with had."""
    from tsssl_fast import training

    settings = training.Config()
    if kept is not None:
        settings = training.Config(**kept["config"])
    if config is not None:
        settings = replace(settings, **training.read_settings(config))
    return replace(settings, **{k: v for k, v in given.items() if v is not None})


@app.command()
def info(
    warm: Annotated[
        bool, typer.Option("--warm", help="Compile every Numba kernel first.", show_default="no")
    ] = False,
    as_json: Json = False,
) -> None:
    """Backends with their reasons, instruction set, versions, thread runtime, load errors."""
    from tsssl_fast import info as information

    for line in information.warm() if warm else ():
        typer.echo(line, err=True)
    if as_json:
        say(True, "", **information.facts())
        return
    print(information.report())


@app.command()
@with_reading()
def augment(
    data: Annotated[str, typer.Argument(help="As --data of the other commands.")],
    out: Annotated[Path, typer.Option(help="The picture, such as augment.png.")],
    index: Annotated[int, typer.Option(min=0, help="Which training series.")] = 0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "auto",
    as_json: Json = False,
    **given: Any,
) -> None:
    """Draw what every augmentation makes of one series of DATA."""
    from tsssl_fast import data as datasets
    from tsssl_fast import training
    from tsssl_fast.report import gallery

    place = training.device(device)
    x = datasets.load(data, labels=False, reading=reading(given)).x_train
    if index >= len(x):
        raise ValueError(f"index: {index}; accepted: 0 to {len(x) - 1}")
    gallery.draw(x[index].float().to(place), out, seed=seed)
    text = f"{out}: every augmentation of series {index} of {data}"
    say(as_json, text, picture=out, series=index, data=data)
