"""Pre-training as an estimator does it: `training.fit` on a collection, and the features after."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from tsssl_fast.data import Dataset, Scaling
from tsssl_fast.estimators.collection import Collection
from tsssl_fast.evaluate.features import features
from tsssl_fast.methods import Method
from tsssl_fast.training import Config, fit
from tsssl_fast.training.views import preset

# An encoder of 200,000 weights learns nothing more from a table of a hundred numbers.
VALUES_PER_STEP, LEAST_EPOCHS = 100, 5
SETTINGS = (
    *("encoder", "epochs", "batch_size", "lr", "weight_decay", "warmup", "amp", "precision"),
    *("scaling", "scale_group", "device"),
)


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained method, the scaling of its input, the settings of the last training, and the means
    of every epoch since the weights were drawn."""

    method: Method = field(repr=False)
    scaling: Scaling = field(repr=False)
    config: Config
    history: tuple[dict[str, float], ...] = field(repr=False)

    def features(self, series: Collection, pooling: str) -> np.ndarray:
        """(N, F) float32 of the frozen encoder."""
        x = series.scaled(self.scaling)
        z = features(self.method.encoder, x, pooling=pooling, lengths=series.lengths)
        array: np.ndarray = z.numpy()
        return array


def pretrain(
    name: str,
    parameters: Any,
    series: Collection,
    before: Pretrained | None,
    epochs: int | None,
) -> Pretrained:
    """Trains as `parameters`, of a `TrainingParameters`, say. name: the estimator's, for messages.

    before: what to go on from, with its weights and scaling; views and order are drawn from the
    seed plus the number of its epochs. epochs: None, as the size of the data suggests.

    Raises ValueError for parameters or series that do not fit.
    """
    past = () if before is None else before.history
    config = _config(parameters, series, len(past), epochs)
    if before is None:
        views = preset(parameters.views) if isinstance(parameters.views, str) else parameters.views
        method = config.build(series.x.shape[1], series.x.shape[2], views)
        scaling = series.scaling(config.scaling, config.scale_group)
    else:
        method, scaling = before.method, before.scaling
    if len(series.x) < method.min_batch:
        raise ValueError(
            f"X: n_samples = {len(series.x)}; accepted: {method.min_batch} or more with {name}"
        )
    history: list[dict[str, float]] = []

    def on_epoch(row: dict[str, float], _: Any) -> None:
        history.append(row)
        if parameters.verbose:
            print(f"[{name}] epoch {len(history)}/{config.epochs}: loss {row['loss']:.4f}")

    fit(method, series.scaled(scaling), config, lengths=series.lengths, on_epoch=on_epoch)
    return Pretrained(method, scaling, config, (*past, *history))


def _config(parameters: Any, series: Collection, past: int, epochs: int | None) -> Config:
    """The settings, with what they leave open made of the series."""
    given = {name: getattr(parameters, name) for name in SETTINGS} | {"epochs": epochs}
    seed = check_random_state(parameters.random_state).randint(np.iinfo(np.int32).max)
    x, y = series.x, torch.full((len(series.x),), -1)
    config = Config(
        method=parameters.method,
        options=parameters.method_options(x.shape[2]),
        views=parameters.views if isinstance(parameters.views, str) else "forward",
        seed=int(seed) + past,
        **{name: value for name, value in given.items() if value is not None},
    ).resolved(Dataset("X", x, y, x[:0], y[:0], ()))
    if epochs is not None:
        return config
    steps = max(1, len(x) // config.batch_size)
    most = max(LEAST_EPOCHS, x.numel() // (VALUES_PER_STEP * steps))
    return replace(config, epochs=min(config.epochs, most))


@contextmanager
def threads(n_jobs: int | None) -> Iterator[None]:
    """torch and BLAS on so many threads, -1 for one per processor; None leaves them as they are."""
    if n_jobs is None:
        yield
        return
    before, count = torch.get_num_threads(), joblib.effective_n_jobs(n_jobs)
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
