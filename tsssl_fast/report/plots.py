"""Pictures, by matplotlib."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tsssl_fast.data import Dataset, Scaling
from tsssl_fast.data.inspection import Inspection
from tsssl_fast.data.recordings import Recordings
from tsssl_fast.evaluate.dissection import Dissection
from tsssl_fast.evaluate.probes import Probes
from tsssl_fast.functional import ScoreDistribution
from tsssl_fast.methods import Views

__all__ = [
    *("confusion", "curves", "demo", "dissection", "embed", "embedding", "inspection"),
    *("scores", "spectrum"),
]

# Okabe and Ito's palette, told apart by colour-blind readers; in black and white by the markers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
MARKERS = "osD^vP*X"


def embed(z: torch.Tensor) -> np.ndarray:
    """(N, F) floating -> (N, 2) float32: t-SNE by cosine, the distance of the kNN read-out.

    It starts from the principal components, so the same features give the same picture.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

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

    columns = len(probes)
    figure = Figure(figsize=(4 * columns, 7), layout="constrained", dpi=120)
    above = figure.add_gridspec(2, columns, height_ratios=(4, 5))
    _views(figure, above[0, :], data, scaling, views)
    for column, (name, result) in enumerate(probes.items()):
        axes = figure.add_subplot(above[1, column])
        _embedding(axes, result.test_features, data)
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
    quietly(figure.savefig, path)


def _views(figure: Any, place: Any, data: Dataset, scaling: Scaling, views: Views) -> None:
    index = int((data.y_train == len(data.classes) - 1).nonzero()[0])
    x = scaling(data.x_train[index : index + 1])
    v = views(x, views=2, seed=7, sample_ids=torch.tensor([index]))
    shown = {
        f"one series: {plain(data.classes[int(data.y_train[index])])}": x[0],
        "first augmented view": v[0, 0],
        "second augmented view": v[1, 0],
    }
    axes = place.subgridspec(1, 3).subplots(sharex=True, sharey=True)
    for axis, (title, series) in zip(axes, shown.items(), strict=True):
        for channel in range(min(3, data.channels)):
            axis.plot(
                series[channel],
                lw=1.2,
                color=COLOURS[channel],
                label=plain(_channel(data, channel)),
            )
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("time step")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("standardised value")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.15 * (high - low))  # room for the legend
    axes[0].legend(fontsize=9, frameon=False, ncols=3, loc="upper left")


def _channel(data: Dataset, channel: int) -> str:
    return data.channel_names[channel] if data.channel_names else f"channel {channel}"


def _embedding(axes: Any, test_features: torch.Tensor, data: Dataset) -> None:
    points = embed(test_features)
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
            label=plain(name),
        )
    axes.set_xlabel("t-SNE of the features of the test series")
    axes.set_xticks([])
    axes.set_yticks([])


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=110)


def curves(rows: Sequence[Mapping[str, str]]) -> Any:
    """What a run's `log.csv` holds, a panel per column over the epochs."""
    names = [n for n in rows[0] if n not in ("epoch", "step", "seconds")]
    names = [n for n in names if any(row[n] for row in rows)]
    figure = _figure(10, 2.2 * -(-len(names) // 4))
    grid = list(figure.subplots(-(-len(names) // 4), 4, squeeze=False).flat)
    epochs = [int(row["epoch"]) for row in rows]
    for axes, name in zip(grid, names, strict=False):
        axes.plot(epochs, [float(row[name] or "nan") for row in rows], color=COLOURS[0])
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    return figure


def inspection(found: Inspection, read: Recordings, path: Path) -> None:
    """A few series of the train split as they are, how long all are, how often each label is."""
    from matplotlib.figure import Figure

    train = read.splits["train"]
    figure = Figure(figsize=(11, 7), layout="constrained", dpi=110)
    halves: Any = figure.subfigures(2, 1, height_ratios=(3, 2))
    above, below = halves
    rows = np.unique(np.linspace(0, len(train) - 1, min(3, len(train))).round().astype(int))
    for axes, row in zip(above.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
        x = np.asarray(train.x[row])
        time = np.arange(x.shape[1]) / (found.rate or 1)
        for channel in range(min(len(x), len(COLOURS))):
            name = plain(found.channels[channel])
            axes.plot(time, x[channel], lw=0.9, color=COLOURS[channel], label=name)
        axes.set_title(plain(train.ids[row] if train.ids else str(row)), fontsize=9)
        axes.set_xlabel("seconds" if found.rate else "step")
    above.axes[0].legend(fontsize=8, frameon=False)
    left, right = below.subplots(1, 2)
    left.hist([np.shape(row)[-1] for row in train.x], bins=20, color=COLOURS[0])
    left.set_xlabel("steps of a series")
    counts = found.labels.get("train", {})
    shown = list(counts.items())[:20]
    right.barh([plain(name or "without a label") for name, _ in shown], [n for _, n in shown])
    right.set_xlabel("labels of the train split" if counts else "no labels")
    quietly(figure.savefig, path)


def plain(text: str) -> str:
    """A name that matplotlib draws as it is: a dollar would begin a formula."""
    return text.replace("$", r"\$")


def quietly(save: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Without a line for each character that the font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        save(*arguments, **named)


def confusion(data: Dataset, predictions: np.ndarray) -> Any:
    """Test series by class (rows) and prediction (columns).

    predictions: (M,) integers, the classes' numbers.
    """
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(data.y_test.numpy(), predictions, labels=range(len(data.classes)))
    figure = _figure(6, 5)
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        if count:
            axes.text(column, row, count, ha="center", va="center", color=colour, fontsize=9)
    places = range(len(data.classes))
    names = [plain(name) for name in data.classes]
    axes.set_xticks(places, names, rotation=45, ha="right")
    axes.set_yticks(places, names)
    axes.set_xlabel("predicted by the linear probe")
    axes.set_ylabel("class")
    figure.colorbar(image, label="share of the class")
    return figure


def embedding(data: Dataset, test_features: torch.Tensor) -> Any:
    """t-SNE of the features of the test series, (M, F) float32, by class."""
    figure = _figure(7, 5)
    axes = figure.subplots()
    _embedding(axes, test_features, data)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def spectrum(features: Mapping[str, torch.Tensor]) -> Any:
    """Eigenvalues of the covariance of features (N, F), floating, each set's in shares of their
    sum.
    """
    figure = _figure(7, 4)
    axes = figure.subplots()
    for index, (name, z) in enumerate(features.items()):
        x = z.double() - z.double().mean(0)
        values = torch.linalg.svdvals(x).square()
        shares = (values / values.sum().clamp(min=1e-30)).clamp(min=1e-12)
        axes.plot(range(1, len(shares) + 1), shares, label=name, color=COLOURS[index])
    axes.set_yscale("log")
    axes.set_xlabel("eigenvalue of the covariance, by size")
    axes.set_ylabel("share of the variance")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def scores(found: ScoreDistribution) -> Any:
    """Shares of the positive and of the negative pairs by cosine, of
    `functional.score_distribution`."""
    figure = _figure(7, 4)
    axes = figure.subplots()
    edges = found.edges.tolist()
    for index, name in enumerate(("positive", "negative")):
        counts = getattr(found, name).double()
        shares = (counts / counts.sum().clamp(min=1)).tolist()
        axes.stairs(shares, edges, label=f"{name} pairs", color=COLOURS[index], linewidth=2)
    axes.set_xlabel("cosine")
    axes.set_ylabel("share of the pairs")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def dissection(found: Dissection, x: torch.Tensor, shown: int = 3) -> Any:
    """Left: units per concept; right: for the most selective units, the series where each is most
    active, with the steps of its highest activation marked. x: (N, C, T) float32, the series
    that `found` is of.
    """
    figure = _figure(11, 5.5)
    left, right = figure.subfigures(1, 2, width_ratios=(2, 3))
    counts = found.counts()
    axes = left.subplots()
    axes.barh([plain(name) for name in counts], list(counts.values()), color=COLOURS[0])
    axes.invert_yaxis()
    axes.set_xlabel("units of the last stage")
    axes.spines[["top", "right"]].set_visible(False)
    best: dict[str, tuple[int, float]] = {}
    for unit, concept, value in found.selected():
        best.setdefault(concept, (unit, value))
    rows = list(best.items())[:shown]
    for axis, (concept, (unit, value)) in zip(
        right.subplots(len(rows), squeeze=False)[:, 0], rows, strict=True
    ):
        activation = found.activations[:, unit]
        series = int(activation.amax(1).argmax())
        axis.plot(x[series].T, lw=0.9)
        active = activation[series] > activation.flatten().quantile(0.9)
        low, high = axis.get_ylim()
        axis.fill_between(range(x.shape[-1]), low, high, where=active.numpy(), alpha=0.2)
        axis.set_title(f"unit {unit}: {plain(concept)}, IoU {value:.2f}", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    return figure
