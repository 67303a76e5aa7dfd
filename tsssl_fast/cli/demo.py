"""`tsssl-fast demo`: SimCLR-TS on BasicMotions from nothing to a picture, without a download."""

import time
from pathlib import Path

import torch
from rich.console import Console

from tsssl_fast import evaluate
from tsssl_fast.cli.options import say
from tsssl_fast.cli.progress import EpochsBar, accuracy_table
from tsssl_fast.data import load
from tsssl_fast.encoders import pretrained
from tsssl_fast.methods import Supervised
from tsssl_fast.report import plots
from tsssl_fast.training import Config, checkpoint, fit, pretrain
from tsssl_fast.training import device as place
from tsssl_fast.training.views import PRESETS

EPOCHS = 100


def run(out: Path, seed: int, device: str = "auto", as_json: bool = False) -> None:
    """Leaves checkpoint.pt, log.csv and demo.png in `out`, replacing those of an earlier demo.

    On one thread: the series are so few that a second one saves 0.6 of 3.4 s of pre-training, and
    on a busy machine the two wait for each other (45 s were seen).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _run(out, seed, device, as_json)
    finally:
        torch.set_num_threads(threads)


def _run(out: Path, seed: int, device: str, as_json: bool) -> None:
    start = time.perf_counter()
    place(device)
    notes = Console(stderr=True)
    data = load("BasicMotions")
    notes.print(
        f"BasicMotions: {len(data.x_train)} train and {len(data.x_test)} test series of "
        f"{data.channels} channels x {data.length} steps (accelerometer and gyroscope of a watch); "
        f"classes: {', '.join(data.classes)}"
    )
    config = Config(
        method="simclr", views="simclr_ts", epochs=EPOCHS, seed=seed, device=device
    ).resolved(data)
    with EpochsBar("SimCLR-TS, without labels", config.epochs) as progress:
        trained = pretrain(data, config, out, overwrite=True, progress=progress)
    notes.print(f"SimCLR-TS: {progress.summary()}")

    untrained = config.build_encoder(data.channels, data.length)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = config.build_encoder(data.channels, data.length)
        supervised = Supervised.recipe(encoder, len(data.classes), PRESETS[config.views]())
    with EpochsBar("supervised, all labels", config.epochs) as progress:
        fit(
            supervised,
            trained.scaling(data.x_train),
            config,
            labels=data.y_train,
            on_epoch=lambda row, _: progress(row),
        )
    encoders = {
        "random initialisation": untrained,
        "generated-1, nothing trained": pretrained("generated-1", data.channels),
        "SimCLR-TS": trained.method.encoder,
        "supervised": supervised.encoder,
    }
    probes = {
        name: evaluate.probe(encoder, trained.scaling, data) for name, encoder in encoders.items()
    }
    results = {name: found.results() for name, found in probes.items()}
    if not as_json:
        title = f"accuracy of frozen encoders on {len(data.x_test)} test series"
        accuracy_table(title, results, len(data.x_test))
    picture = out / "demo.png"
    plots.demo(picture, data, trained.scaling, PRESETS[config.views](), probes)
    say(
        as_json,
        f"picture: {picture}\ncheckpoint: {checkpoint.locate(out)}",
        picture=picture,
        checkpoint=checkpoint.locate(out),
        series=len(data.x_test),
        accuracy={n: {k: r.accuracy for k, r in row.items()} for n, row in results.items()},
    )
    notes.print(f"whole demo: {time.perf_counter() - start:.1f} s")
