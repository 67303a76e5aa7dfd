"""What comes after pre-training: evaluate, finetune, embed."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tsssl_fast.cli.commands import app as app
from tsssl_fast.cli.fitting import fitted, tell_seen, to_tune
from tsssl_fast.cli.options import (
    Checkpoint,
    Data,
    Device,
    Json,
    MaxTime,
    completion,
    reading,
    say,
    seconds,
    with_reading,
    with_settings,
)
from tsssl_fast.evaluate.features import POOLINGS
from tsssl_fast.training.views import PRESETS

_log = logging.getLogger("tsssl_fast")

Adapt = Annotated[
    bool, typer.Option(help="Fit series of other channels or another length to the encoder.")
]
# Settings of reading that lines as they come have.
FOLLOWED = ("window", "stride", "missing", "rate")
# A few labelled series want less than pre-training.
TUNED = {"epochs": 40, "batch_size": 32, "lr": 1e-3, "seed": 0, "device": "auto"}


@app.command()
@with_reading()
def evaluate(
    checkpoint: Checkpoint,
    data: Data,
    adapt: Adapt = False,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.html: all protocols, with pictures.", show_default="none"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of label shares and clusters.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
    **given: Any,
) -> None:
    """Accuracy of the frozen encoder on the test split, beside its random initialisation.

    Of targets that are numbers, the errors of ridge regression. DATA is read as for pre-training,
    but for the options that are given.
    """
    from tsssl_fast import evaluate as evaluation
    from tsssl_fast import training
    from tsssl_fast.data import load

    place = training.device(device)
    encoder, scaling, content = training.load_encoder(checkpoint)
    how = reading(given, content, data)
    series = load(data, reading=how).labelled()
    tell_seen(content, series, how)
    config = training.Config(**content["config"])
    trained = content["data"]["channels"], content["data"]["length"]
    untrained = training.adapt(
        replace(config, init="").build_encoder(*trained), trained, training.series_shape(content)
    )
    scaling, encoder, untrained = fitted(content, series, data, adapt, scaling, encoder, untrained)
    title = f"{config.method}, {content['epoch']} epochs"
    if "finetuned" in content:
        title = f"{config.method}, fine-tuned on {content['finetuned']['name']}"
    encoders = {"random initialisation": untrained.to(place), title: encoder.to(place)}
    heading = f"{series.name}: accuracy on {len(series.x_test)} test series"
    if series.regression:
        if report is not None:
            raise ValueError(f"report: {report}, and targets are numbers; accepted: with classes")
        errors = {name: evaluation.regression(e, scaling, series) for name, e in encoders.items()}
        _say_errors(as_json, series, errors)
        return
    from tsssl_fast.cli.progress import RowsBar

    bar = RowsBar("evaluating", 2 * (len(series.x_train) + len(series.x_test)))
    if report is None:
        with bar:
            rows = {
                name: evaluation.probe(bar.watch(e), scaling, series)
                for name, e in encoders.items()
            }
        _say_accuracies(as_json, heading, series, {n: p.results() for n, p in rows.items()})
        return
    from tsssl_fast.report.html import figures, write_report

    with bar:
        found = {name: figures(bar.watch(e), scaling, series, seed) for name, e in encoders.items()}
    log = training.locate(checkpoint).parent / "log.csv"
    about = f"{title} on {content['data']['name']}, evaluated on {series.name}"
    path = write_report(report, about, series, found, encoder, scaling, log)
    accuracies = {name: row.results for name, row in found.items()}
    shares = {name: row.fractions for name, row in found.items()}
    _say_accuracies(as_json, heading, series, accuracies, report=path, label_shares=shares)
    if not as_json:
        print(f"report: {path}")


def _say_accuracies(as_json: bool, heading: str, series: Any, rows: Any, **more: Any) -> None:
    from tsssl_fast.cli.progress import accuracy_table

    if not as_json:
        accuracy_table(heading, rows, len(series.x_test))
        return
    accuracy = {n: {k: r.accuracy for k, r in row.items()} for n, row in rows.items()}
    classes = list(series.classes)
    say(
        True,
        "",
        data=series.name,
        series=len(series.x_test),
        classes=classes,
        **more,
        accuracy=accuracy,
    )


def _say_errors(as_json: bool, series: Any, rows: Any) -> None:
    from tsssl_fast.cli.progress import error_table

    if not as_json:
        error_table(f"{series.name}: errors on {len(series.x_test)} test series", rows)
        return
    errors = {n: {"rmse": r.rmse, "mae": r.mae, "r2": r.r2} for n, r in rows.items()}
    say(True, "", data=series.name, series=len(series.x_test), errors=errors)


@app.command()
@with_reading()
@with_settings(*TUNED, **TUNED)
def finetune(
    checkpoint: Annotated[
        Path, typer.Option(help="The folder of a run, its checkpoint.pt, or generated-1.")
    ],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint.pt and log.csv.")],
    fraction: Annotated[float, typer.Option(help="Share of the labels, in (0, 1].")] = 1.0,
    from_scratch: Annotated[
        bool, typer.Option(help="The random initialisation instead: the supervised baseline.")
    ] = False,
    adapt: Adapt = False,
    views: Annotated[
        str | None,
        typer.Option(
            help=f"Augmentation. One of none, {', '.join(PRESETS)}.",
            show_default="that of pre-training",
            autocompletion=completion(lambda: ("none", *PRESETS)),
        ),
    ] = None,
    smoothing: Annotated[float, typer.Option(help="Of the labels, in [0, 1).")] = 0.1,
    freeze: Annotated[int, typer.Option(help="Lower layers of the encoder that stay.")] = 0,
    layer_decay: Annotated[float, typer.Option(help="Factor on the rate, layer by layer.")] = 1.0,
    contrast: Annotated[float, typer.Option(help="Weight of a contrast of labels.")] = 0.0,
    overwrite: Annotated[bool, typer.Option(help="Replace the run in --out.")] = False,
    max_time: MaxTime = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Train encoder and classifier on labels, from a checkpoint; score the test split."""
    from tsssl_fast import training
    from tsssl_fast.cli.progress import EpochsBar
    from tsssl_fast.training.views import preset

    limit = seconds("max_time", max_time)
    training.device(given["device"])
    how, series, encoder, scaling, content = to_tune(checkpoint, data, given)
    config = training.Config(**content["config"])
    trained = content["data"]["channels"], content["data"]["length"]
    if from_scratch:
        encoder = replace(config, init="").build_encoder(*trained)
        encoder = training.adapt(encoder, trained, training.series_shape(content))
    scaling, encoder = fitted(content, series, data, adapt, scaling, encoder)
    settings = training.Settings(**given, weight_decay=config.weight_decay)
    pipeline = None if views == "none" else preset(views or config.views)
    start, rows = time.monotonic(), []
    lower: Any = {"freeze": freeze, "layer_decay": layer_decay, "contrast": contrast}

    def epoch(row: dict[str, float], _: Any) -> bool:
        rows.append(row)
        progress(row)
        return limit is not None and time.monotonic() - start >= limit

    saved = replace(config, options=dict(config.options))
    with _held(out, overwrite):
        with EpochsBar(f"{config.method}, fine-tuning", settings.epochs) as progress:
            tuned = training.fine_tune(
                *(encoder, scaling, series, settings),
                views=pipeline,
                fraction=fraction,
                smoothing=smoothing,
                on_epoch=epoch,
                **lower,
            )
        training.write_finetuned(
            *(out, tuned, saved, content["data"], scaling, series, len(rows)),
            reading=how,
            log=rows,
            held=True,
        )
    m = tuned.metrics
    text = (
        f"{config.method}, {'from scratch' if from_scratch else 'fine-tuned'} on {series.name} "
        f"with {fraction:.0%} of the labels: {progress.summary()}\n"
        f"accuracy {m.accuracy:.3f}, macro F1 {m.macro_f1:.3f}, AUC {m.auc:.3f} on "
        f"{len(series.x_test)} test series\ncheckpoint: {training.locate(out)}"
    )
    if len(rows) < settings.epochs:
        text += f"\nstopped after {len(rows)} of {settings.epochs} epochs"
    say(
        as_json,
        text,
        method=config.method,
        data=series.name,
        epochs=len(rows),
        accuracy=m.accuracy,
        macro_f1=m.macro_f1,
        auc=m.auc,
        checkpoint=training.locate(out),
    )


@contextmanager
def _held(out: Path, overwrite: bool) -> Iterator[None]:
    """The folder of a run from before it trains until it is written; refused where it is in use or
    holds a checkpoint."""
    from tsssl_fast import training
    from tsssl_fast.training.lock import locked

    with locked(out):
        if training.locate(out).exists() and not overwrite:
            accepted = "another, or --overwrite"
            raise FileExistsError(f"out: {out} holds a checkpoint; accepted: {accepted}")
        yield


@app.command()
@with_reading()
def embed(
    data: Data,
    out: Annotated[Path, typer.Option(help="The file: .npz, .csv or .parquet.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="The folder of a run, or its checkpoint.pt.",
            show_default="the encoder that ships, generated-1",
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="DATA is a text file that grows, or - for standard input, a step a line: write a "
            "line a step (causal encoder) or window until interrupted; --out NAME.csv, or - for "
            "standard output.",
            show_default="no",
        ),
    ] = False,
    adapt: Adapt = False,
    pooling: Annotated[
        str,
        typer.Option(
            help=f"What of the encoder. One of {', '.join(POOLINGS)}.",
            autocompletion=completion(lambda: POOLINGS),
        ),
    ] = "final",
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Of generated-1 all features, not 2,048 sums of them.",
            show_default="no",
        ),
    ] = False,
    device: Device = "auto",
    as_json: Json = False,
    **given: Any,
) -> None:
    """Write what a frozen encoder says of every series, with ids and labels, to a file."""
    from tsssl_fast import training

    if follow:
        if checkpoint is None or adapt or full or pooling != "final":
            raise ValueError(
                "follow: without --checkpoint, or with --adapt, --full or --pooling; accepted: "
                "with --checkpoint alone"
            )
        content = training.read(checkpoint)
        kept = {name: content["reading"][name] for name in FOLLOWED if name in content["reading"]}
        how = reading(given, content | {"reading": kept}, data, whole=True)
        _follow(*(checkpoint, data, out, how, training.device(device), as_json))
        return
    training.check_embeddings_file(out)
    if training.is_shipped(checkpoint):
        encoder, scaling, series = _shipped(checkpoint, data, given, adapt, pooling, full)
    elif full:
        raise ValueError("full: with a checkpoint; accepted: with generated-1")
    else:
        from tsssl_fast.data import load

        encoder, scaling, content = training.load_encoder(checkpoint or "")
        how = reading(given, content, data, whole=True)
        series = load(data, labels=False, reading=how, in_memory=False)
        scaling, encoder = fitted(content, series, data, adapt, scaling, encoder)
    from tsssl_fast.cli.progress import RowsBar

    with RowsBar("embedding", len(series.x_train) + len(series.x_test)) as bar:
        encoder = bar.watch(encoder.to(training.device(device)))
        found = training.embed(encoder, scaling, series, pooling)
    found.write(out)
    n, width = found.features.shape
    text = f"{out}: {width} features of {n} series of {series.name}"
    say(as_json, text, features=width, series=n, data=series.name, file=out)


def _shipped(
    checkpoint: Path | None,
    data: str,
    given: dict[str, Any],
    adapt: bool,
    pooling: str,
    full: bool,
) -> tuple[Any, Any, Any]:
    """The encoder that ships, the scaling of the train series, and the series."""
    from tsssl_fast import training
    from tsssl_fast.data import load
    from tsssl_fast.encoders.weights import NAMES

    name = NAMES[-1] if checkpoint is None else str(checkpoint)
    if adapt or pooling != "final":
        raise ValueError(f"embed: --adapt or --pooling with {name}; accepted: without")
    series = load(data, labels=False, reading=reading(given), in_memory=False)
    encoder, scaling = training.shipped(name, series, full)
    _log.info(
        "%s: trained on generated series alone, nothing of %s; --checkpoint takes another",
        *(name, series.name),
    )
    return encoder, scaling, series


def _follow(checkpoint: Path, data: str, out: Path, how: Any, place: Any, as_json: bool) -> None:
    from tsssl_fast import training
    from tsssl_fast.training.following import Lines, growing, stride_of

    if out != Path("-") and out.suffix != ".csv":
        raise ValueError(f"out: {out}; accepted with --follow: a name that ends in .csv, or -")
    if data != "-" and not Path(data).is_file():
        raise FileNotFoundError(f"data: {data}: no such file; accepted: a text file, or -")
    encoder, scaling, content = training.load_encoder(checkpoint)
    length = training.series_shape(content)[1]
    found = training.follow(
        iter(sys.stdin.readline, "") if data == "-" else growing(Path(data)),
        encoder.to(place),
        scaling,
        length,
        stride=stride_of(how, length),
        names=content.get("finetuned", content["data"]).get("channel_names", ()),
        missing=how.missing,
        data="standard input" if data == "-" else data,
    )
    with nullcontext(sys.stdout) if out == Path("-") else out.open("w") as file:
        write = Lines(file, as_json)
        # An interrupt is how it ends; a reader that went away, too.
        with suppress(KeyboardInterrupt, BrokenPipeError):
            for step, features in found:
                write(step, features)
    print(f"tsssl-fast: note: {write.count} embeddings", file=sys.stderr)
