"""Pictures, by matplotlib."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tsssl_fast.data import Dataset, Scaling
from tsssl_fast.evaluate import Probes
from tsssl_fast.methods import Views

__all__ = ["demo", "embed"]

# Okabe and Ito's palette, told apart by colour-blind readers; in black and white by the markers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
MARKERS = "osD^vP*X"


def embed(z: torch.Tensor) -> np.ndarray:
    """(N, F) -> (N, 2): t-SNE by cosine, the distance that the kNN read-out uses.

    It starts from the principal components, so the same features give the same picture.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    unit = torch.nn.functional.normalize(z).numpy()
    perplexity = min(30.0, max(1.0, len(unit) / 5))
    tsne = TSNE(2, perplexity=perplexity, metric="cosine", init="pca", random_state=0)
    with threadpool_limits(1):  # as in evaluate.py: faster on few rows, and the same everywhere
        points: np.ndarray = tsne.fit_transform(unit)
    return points


def demo(
    path: Path, data: Dataset, scaling: Scaling, views: Views, probes: Mapping[str, Probes]
) -> None:
    """Above: a real series and two augmented views of it; below: test features of each encoder."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained", dpi=120)
    above = figure.add_gridspec(2, 3, height_ratios=(4, 5))
    _views(figure, above[0, :], data, scaling, views)
    for column, (name, result) in enumerate(probes.items()):
        axes = figure.add_subplot(above[1, column])
        _embedding(axes, result, data)
        axes.set_title(
            f"{name}\nkNN {result.knn.accuracy:.3f}, linear {result.linear.accuracy:.3f}",
            fontsize=11,
        )
        if column == 0:
            figure.legend(
                *axes.get_legend_handles_labels(),
                loc="outside lower center",
                ncols=len(data.classes),
                frameon=False,
                fontsize=11,
            )
    figure.suptitle(f"tsssl_fast demo: SimCLR-TS on {data.name}", fontsize=14, weight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _views(figure: Any, place: Any, data: Dataset, scaling: Scaling, views: Views) -> None:
    index = int((data.y_train == len(data.classes) - 1).nonzero()[0])
    x = scaling(data.x_train[index : index + 1])
    v = views(x, seed=7, sample_ids=torch.tensor([index]))
    shown = {
        f"one series: {data.classes[int(data.y_train[index])]}": x[0],
        "first augmented view": v[0, 0],
        "second augmented view": v[1, 0],
    }
    axes = place.subgridspec(1, 3).subplots(sharex=True, sharey=True)
    for axis, (title, series) in zip(axes, shown.items(), strict=True):
        for channel in range(min(3, data.channels)):
            axis.plot(series[channel], lw=1.2, color=COLOURS[channel], label=f"channel {channel}")
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("time step")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("standardised value")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.15 * (high - low))  # room for the legend
    axes[0].legend(fontsize=9, frameon=False, ncols=3, loc="upper left")


def _embedding(axes: Any, result: Probes, data: Dataset) -> None:
    points = embed(result.test_features)
    for index, name in enumerate(data.classes):
        rows = (data.y_test == index).numpy()
        axes.scatter(
            *points[rows].T,
            s=36,
            alpha=0.85,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            edgecolor="white",
            linewidth=0.5,
            label=name,
        )
    axes.set_xlabel("t-SNE of the features of the test series")
    axes.set_xticks([])
    axes.set_yticks([])
