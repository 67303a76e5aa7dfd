"""A self-contained HTML report of an encoder on labelled data: tables and pictures in one file."""

import csv
import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tsssl_fast.data import Dataset, Scaling
from tsssl_fast.evaluate import dissection
from tsssl_fast.evaluate.features import of_splits, stages
from tsssl_fast.evaluate.labels import FRACTIONS, stratified
from tsssl_fast.evaluate.metrics import clustering, interval, metrics
from tsssl_fast.evaluate.probes import Result, knn_classify, linear_probe, ridge_probe, svm_probe
from tsssl_fast.evaluate.retrieval import retrieval
from tsssl_fast.functional.collapse import collapse_report
from tsssl_fast.report import page, plots

__all__ = ["Figures", "figures", "write_report"]

NAME = "report.html"
DISSECTED = 64  # series that the dissection looks at
SVM_ROWS = 2000  # train rows above which the SVM's C is not searched


@dataclass(frozen=True)
class Figures:
    """One encoder's read-outs by name, accuracy of the linear probe by share of the labels, and one
    number per further figure of merit; features of the test series, (M, F) float32.
    """

    results: dict[str, Result]
    fractions: dict[float, float]
    numbers: dict[str, float]
    test_features: Tensor


def figures(
    encoder: nn.Module, scaling: Scaling, data: Dataset, seed: int = 0, fractions: bool = True
) -> Figures:
    """All protocols on frozen features; seed: of label fractions and k-means.

    fractions: also the linear probe with 1, 5, 10 and 50 % of the labels. Raises as the protocols
    of `tsssl_fast.evaluate`: ValueError for labels that they can not be fitted on.
    """
    train, test = of_splits(encoder, scaling, data)
    split = (train, data.y_train, test, data.y_test)
    searched: dict[str, Any] = {} if len(train) <= SVM_ROWS else {"grid": (10.0,)}
    results = {
        "kNN": knn_classify(*split, groups=data.groups),
        "linear probe": linear_probe(*split, groups=data.groups),
        "ridge": ridge_probe(*split, groups=data.groups),
        "SVM": svm_probe(*split, groups=data.groups, **searched),
    }
    few: dict[float, float] = {}
    for fraction in FRACTIONS[:-1] if fractions else ():
        rows = stratified(data.y_train, fraction, seed)
        groups = None if data.groups is None else data.groups[rows]
        labelled = (train[rows], data.y_train[rows], test, data.y_test)
        few[fraction] = linear_probe(*labelled, groups=groups).accuracy
    few[1.0] = results["linear probe"].accuracy
    linear = metrics(results["linear probe"], data.y_test)
    clusters = clustering(test, data.y_test, seed)
    found = retrieval(test, data.y_test, train, data.y_train)
    collapse = collapse_report(test)
    numbers = {
        "macro F1 (linear)": linear.macro_f1,
        "AUC (linear)": linear.auc,
        "NMI (k-means)": clusters.nmi,
        "ARI (k-means)": clusters.ari,
        **{f"recall@{k}": value for k, value in found.recall.items()},
        "MRR": found.mrr,
        "effective rank": collapse.effective_rank,
        "participation ratio": collapse.participation_ratio,
        "mean |correlation|": collapse.mean_abs_correlation,
        "collapsed dimensions": collapse.collapsed_fraction,
    }
    return Figures(results, few, numbers, test)


def write_report(
    folder: str | Path,
    title: str,
    data: Dataset,
    rows: Mapping[str, Figures],
    encoder: nn.Module,
    scaling: Scaling,
    log: Path | None = None,
) -> Path:
    """Writes `report.html` into `folder`, in one step, and returns its path.

    Args:
        rows: what each encoder reaches, by name; pictures are drawn of the last.
        encoder, scaling: of the last row, for the dissection.
        log: the `log.csv` of its training, for the curves.

    Raises ValueError for an encoder without stages, or series of less than 8 steps.
    """
    shown = list(rows.values())[-1]
    pictures: list[tuple[str, Any]] = []
    if log is not None and log.is_file():
        with log.open(newline="") as file:
            pictures.append(("Training", plots.curves(list(csv.DictReader(file)))))
    pictures += [
        ("Confusion", plots.confusion(data, shown.results["linear probe"].predictions)),
        ("Features of the test series", plots.embedding(data, shown.test_features)),
        (
            "Spectrum of the features' covariance",
            plots.spectrum({name: row.test_features for name, row in rows.items()}),
        ),
    ]
    x = scaling(data.x_test[:DISSECTED])
    if stages(encoder) and data.length >= 8:
        found = dissection.dissect(encoder, x, data.channel_names)
        pictures.append(("Network dissection", plots.dissection(found, x)))
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(_describe(data))}</p>",
        *(_section(name, table) for name, table in _tables(rows, len(data.x_test)).items()),
        *(_section(name, page.image(name, picture)) for name, picture in pictures),
    ]
    path = Path(folder) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{NAME}.{os.getpid()}")
    temporary.write_text(page.whole(title, parts), encoding="utf-8")
    os.replace(temporary, path)
    return path


def _tables(rows: Mapping[str, Figures], n: int) -> dict[str, str]:
    """Accuracies on n test series, with shares of the labels, and what else there is."""
    shown = list(rows.values())[-1]
    return {
        "Accuracy on the test series": page.table(
            ["encoder", *shown.results],
            [
                [name, *(_share(result.accuracy, n) for result in row.results.values())]
                for name, row in rows.items()
            ],
        ),
        "Linear probe with a share of the labels": page.table(
            ["encoder", *(f"{fraction:.0%}" for fraction in shown.fractions)],
            [[n, *(f"{v:.3f}" for v in f.fractions.values())] for n, f in rows.items()],
        ),
        "Further figures": page.table(
            ["", *rows],
            [[k, *(f"{f.numbers[k]:.3f}" for f in rows.values())] for k in shown.numbers],
        ),
    }


def _section(name: str, content: str) -> str:
    """A heading, its sentence, and content, which is HTML."""
    return f"<h2>{html.escape(name)}</h2>\n<p>{html.escape(MEANING[name])}</p>\n{content}"


# What a table or a picture shows, and which way is good.
MEANING = {
    "Accuracy on the test series": "Higher is better. In brackets: the interval of 95 % confidence "
    "(Wilson).",
    "Linear probe with a share of the labels": "Accuracy on the test series: higher is better.",
    "Further figures": "Higher is better; of mean |correlation| and collapsed dimensions, lower.",
    "Training": "The means of each epoch: the loss should fall, the effective rank and kNN rise, "
    "and the spread stay away from 0.",
    "Confusion": "Test series by class and by what the linear probe says: good is a dark diagonal.",
    "Features of the test series": "Near points are series with like features (t-SNE): good is a "
    "cluster for each class.",
    "Spectrum of the features' covariance": "How many directions the features use: good is a slow "
    "fall; a cliff is a collapse.",
    "Network dissection": "What single units answer to, and where: the more kinds of concepts, the "
    "richer the features.",
}


def _share(accuracy: float, n: int) -> str:
    low, high = interval(accuracy, n)
    return f"{accuracy:.3f} ({low:.2f}-{high:.2f})"


def _describe(data: Dataset) -> str:
    return (
        f"{data.name}: {len(data.x_train)} train and {len(data.x_test)} test series of "
        f"{data.channels} channels x {data.length} steps, {len(data.classes)} classes. "
        "Encoders are frozen; hyper-parameters are chosen by folds of the train series."
    )
