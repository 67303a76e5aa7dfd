"""Full fine-tuning: the encoder and a linear classifier, on all labels or a share of them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tsssl_fast import evaluate
from tsssl_fast.common import checks
from tsssl_fast.data import Dataset, Reading, Scaling
from tsssl_fast.encoders import TimeEncoder
from tsssl_fast.encoders.padding import takes_lengths
from tsssl_fast.evaluate import Metrics, Result
from tsssl_fast.methods import Supervised
from tsssl_fast.methods.base import Views
from tsssl_fast.training import checkpoint
from tsssl_fast.training.adapt import Adapted
from tsssl_fast.training.config import Config
from tsssl_fast.training.lock import locked
from tsssl_fast.training.loop import State, fit, fold
from tsssl_fast.training.pretrain import describe
from tsssl_fast.training.settings import Settings
from tsssl_fast.training.writer import write_log


@dataclass(frozen=True)
class FineTuned:
    """The network after fine-tuning, and what it says of the test rows."""

    method: Supervised
    result: Result
    metrics: Metrics


def fine_tune(
    encoder: nn.Module,
    scaling: Scaling,
    data: Dataset,
    settings: Settings,
    *,
    views: Views | None = None,
    fraction: float = 1.0,
    smoothing: float = 0.0,
    freeze: int = 0,
    layer_decay: float = 1.0,
    contrast: float = 0.0,
    on_epoch: Callable[[dict[str, float], Callable[[], State]], Any] | None = None,
) -> FineTuned:
    """Trains `encoder` (in place) under a linear classifier; the test rows are only scored.

    Args:
        encoder: with `out_features`; pre-trained, or random for the supervised baseline.
        scaling: of the series, fitted on the train rows.
        settings: its seed also draws the classifier and the labelled rows.
        views: augmentation of the train rows.
        fraction: of the labels, as in `evaluate.stratified`; a batch holds at most these rows.
        smoothing: of the labels, in [0, 1).
        freeze: this many lower layers of the encoder stay as they are, with their statistics; 0 to
            all (`layers_of`).
        layer_decay: d in (0, 1]: the learning rate of the l-th layer below the classifier is d^l of
            the classifier's (BEiT: BERT Pre-Training of Image Transformers, 2021).
        contrast: weight of `functional.core_tuning_loss`, >= 0.

    Raises ValueError without labels, for a fraction or settings that do not fit.
    """
    if not data.classes:
        raise ValueError("data: no labels of classes; fine-tuning needs them")
    data = data.labelled()
    rows = evaluate.stratified(data.y_train, fraction, settings.seed)
    batch_size = min(settings.batch_size, len(rows))
    settings = replace(settings, batch_size=batch_size - batch_size % settings.devices)
    encoder.requires_grad_(True)
    with torch.random.fork_rng():
        torch.manual_seed(fold(settings.seed, 2))
        method = Supervised.recipe(encoder, len(data.classes), views)
    method.smoothing = smoothing
    method.contrast = checks.non_negative("contrast", contrast)
    layers = layers_of(encoder)
    if not 0 <= freeze <= len(layers):
        raise ValueError(f"freeze: {freeze}; accepted: 0 to the encoder's {len(layers)} layers")
    method.keep(layers[:freeze])
    rates = layer_rates(layers, layer_decay)
    x = scaling(data.x_train[rows])
    lengths = data.lengths_train
    lengths = lengths[rows] if lengths is not None and takes_lengths(encoder) else None
    labels = data.y_train[rows]
    fit(method, x, settings, labels=labels, lengths=lengths, on_epoch=on_epoch, rates=rates)
    result = classify(method, scaling, data)
    return FineTuned(method, result, evaluate.metrics(result, data.y_test))


def layers_of(encoder: nn.Module) -> list[nn.Module]:
    """The layers of an encoder from the series to the features: what its `layers()` names, else its
    direct parts in the order in which it holds them; those without weights are none."""
    inner = encoder.encoder if isinstance(encoder, Adapted) else encoder
    if isinstance(inner, TimeEncoder):
        return inner.layers()
    return [part for part in inner.children() if any(True for _ in part.parameters())]


def layer_rates(layers: Sequence[nn.Module], decay: float) -> dict[Tensor, float]:
    """Parameter -> decay^l, l = 1 for the last layer and len(layers) for the first."""
    if not 0 < decay <= 1:
        raise ValueError(f"layer_decay: {decay}; accepted: a number in (0, 1]")
    below = reversed(list(enumerate(reversed(layers), 1)))
    return {p: decay**place for place, layer in below for p in layer.parameters()}


def classify(method: Supervised, scaling: Scaling, data: Dataset) -> Result:
    """The network's own predictions of the test rows."""
    device = next(method.classifier.parameters()).device
    lengths = data.lengths_test if takes_lengths(method.encoder) else None
    z = evaluate.features(method.encoder, scaling(data.x_test), lengths=lengths).to(device)
    with torch.inference_mode():
        scores = method.classifier(z).softmax(1).cpu().numpy()
    predictions = scores.argmax(1).astype(np.int64)
    accuracy = float((predictions == data.y_test.numpy()).mean())
    return Result(accuracy, predictions, float("nan"), scores, tuple(range(len(data.classes))))


def write_finetuned(
    out: str | Path,
    tuned: FineTuned,
    config: Config,
    trained_on: dict[str, Any],
    scaling: Scaling,
    data: Dataset,
    epochs: int,
    reading: Reading | None = None,
    log: Sequence[Mapping[str, float]] = (),
    held: bool = False,
) -> None:
    """The fine-tuned network as a checkpoint: of `config`'s encoder, with what is new beside it.

    trained_on: the description of the data of pre-training, from its checkpoint. reading: how the
    data was read. epochs: passes over the train series that it took. log: the figures of each
    epoch, for `log.csv`. held: whether the caller holds the folder's lock.

    Raises NotADirectoryError where `out` is a file, FileExistsError where another run writes there.
    """
    folder, reading = Path(out), reading or Reading()
    with nullcontext() if held else locked(folder):
        checkpoint.write(
            folder,
            {
                "config": config.as_dict(),
                "data": trained_on,
                "finetuned": describe(data, reading) | {"accuracy": tuned.result.accuracy},
                "scaling": asdict(scaling),
                "reading": reading.as_dict(),
                "epoch": epochs,
                "model": tuned.method.state_dict(),
                "optimizer": {},
            },
        )
        if log:
            write_log(folder, log)
