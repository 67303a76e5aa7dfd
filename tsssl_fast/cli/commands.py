"""The commands and their options; the work is done by the library."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tsssl_fast.cli.options import (
    Column,
    Data,
    Device,
    Missing,
    Unequal,
    numbers,
    pairs,
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
def pretrain(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint.pt and log.csv.")],
    method: Annotated[str | None, typer.Option(help="[default: simclr]")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="auto, resnet, inception, causal or patch_transformer.")
    ] = None,
    views: Annotated[
        str | None, typer.Option(help="forward, wearable, noise or simclr_ts.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="[default: by size, 10 to 60]")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="[default: up to 256]")] = None,
    lr: Annotated[float | None, typer.Option(help="[default: 0.003]")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="[default: 0.001]")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="[default: 0]")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, 32 or bf16.")] = None,
    device: Device = None,
    scaling: Annotated[
        str | None, typer.Option(help="Per channel: standard, scale (keeps zero) or none.")
    ] = None,
    scale_group: Annotated[
        int | None, typer.Option(min=1, help="Channels that share a scale, 3 for a sensor's axes.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=NUMBER of the method, such as temperature=0.2.")
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(min=1, help="Batches per step of the optimizer [default: 1]")
    ] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="Processes of data-parallel training [default: 1]")
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
) -> None:
    """Pre-train an encoder on the train split's series and keep it in a folder."""
    from tsssl_fast import training
    from tsssl_fast.cli.progress import EpochsBar
    from tsssl_fast.data import load
    from tsssl_fast.training import checkpoint

    given: dict[str, Any] = {
        "method": method,
        "encoder": encoder,
        "views": views,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "weight_decay": weight_decay,
        "seed": seed,
        "precision": precision,
        "device": device,
        "scaling": scaling,
        "scale_group": scale_group,
        "accumulate": accumulate,
        "devices": devices,
        "options": numbers(option) if option else None,
    }
    settings = training.Config()
    if resume and checkpoint.locate(out).is_file():
        settings = training.Config(**checkpoint.read(out)["config"])
    if config is not None:
        settings = replace(settings, **training.read_settings(config))
    settings = replace(settings, **{k: v for k, v in given.items() if v is not None})
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
