"""Accuracy of every method on real series: frozen features, all protocols, several seeds.

    A=benchmarks/experiments/accuracy.py
    python $A --data DIR --sets uwave har --seeds 5  # goes on where it stopped
    python $A --data DIR --quick                     # UWave, 2 methods, 1 seed: minutes
    python $A --data DIR --held-out                  # the same on held-out train rows
    python $A --show validation                      # figures inside the train split
    python $A --write docs/results.md                # the test tables

DIR holds UWaveGestureLibrary.npz and UCI_HAR.npz. A result is one record in `--store`; the trained
encoders' features stay in `--cache`. Nothing is chosen by test rows: hyper-parameters of a read-out
come from folds of the train rows, recipes (accuracy_recipes.py) from the same folds' accuracy or
from --held-out.
"""

import argparse
import copy
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accuracy_recipes import FRACTIONS, OTHER, SETS, SHAPES, Recipe, label, recipe
from accuracy_split import held_out
from accuracy_store import Store
from accuracy_table import table, write
from torch import Tensor, nn

from tsssl_fast import encoders, evaluate
from tsssl_fast.data import Dataset, Scaling, load
from tsssl_fast.functional.collapse import collapse_report
from tsssl_fast.methods import Supervised
from tsssl_fast.training import Config, adapt, fit
from tsssl_fast.training.views import PRESETS

DATA = Path(__file__).parents[1] / "data"
METHODS = (
    *("1nn", "random", "vicreg", "simclr", "barlow_twins", "simclr+vicreg+barlow_twins"),
    *("supervised", "moco", "simsiam", "masked_autoencoder", "contrastive_masked"),
    *("random_transformer", "masked_reconstruction", "contrastive_reconstruction"),
    *("ssgan", "clip", "simclr_noise"),
    *("vicreg_no_covariance", "finetuned_simclr", "finetuned_vicreg"),
    *("transferred", "finetuned_transferred", "statistics", "random+statistics"),
    *("simclr+statistics", "masked_reconstruction+statistics"),
)
QUICK = ("random", "vicreg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the .npz files")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--store", type=Path, default=DATA / "accuracy.json")
    parser.add_argument("--cache", type=Path, default=Path("runs/accuracy"))
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="judge on a third of the train rows (subjects apart), to choose a recipe by",
    )
    parser.add_argument("--quick", action="store_true", help="UWave, 2 methods, 1 seed")
    parser.add_argument("--show", choices=("test", "validation"), help="print the store and end")
    parser.add_argument("--write", type=Path, help="put the test tables between a file's marks")
    parser.add_argument("--short", action="store_true", help="fewer columns for --write")
    given = parser.parse_args()
    store = Store(given.store)
    if given.show or given.write:
        if given.write:
            write(given.write, store.read(), given.short)
        if given.show:
            print(table(store.read(), given.show))
        return
    if given.data is None:
        parser.error("--data: the folder of the .npz files")
    if given.quick:
        given.sets, given.methods, given.seeds = ["uwave"], list(QUICK), 1
        store = Store(given.cache / "quick.json")
    if given.held_out:
        given.cache /= "held-out"
        store = Store(given.cache / "accuracy.json")
    torch.set_num_threads(1)  # small kernels; and the same digits on every machine of a kind
    run(given, store)
    if given.quick or given.held_out:
        print(table(store.read(), "test"))


def run(given: argparse.Namespace, store: Store) -> None:
    recipes = [[recipe(dataset, method) for method in given.methods] for dataset in given.sets]
    sets = {name: load(given.data / f"{SETS[name]}.npz") for name in given.sets}
    for seed in range(given.seeds):
        for chosen in (r for of_set in recipes for r in of_set):
            key = {"dataset": chosen.dataset, "method": chosen.method, "recipe": chosen.digest()}
            record: dict[str, Any] = key | {"seed": seed}
            if (chosen.dataset, chosen.method) == ("uwave", "clip"):
                continue  # one sensor
            if (chosen.method == "1nn" and seed) or (not given.quick and store.has(record)):
                continue
            data = sets[chosen.dataset]
            record |= evaluated(
                chosen, held_out(data, seed) if given.held_out else data, seed, given.cache
            )
            store.add(record)
            figures = ", ".join(f"{k} {v['test']:.3f}" for k, v in record["accuracy"].items())
            print(f"{chosen.dataset} {label(chosen.method)} seed {seed}: {figures}", flush=True)


def evaluated(chosen: Recipe, data: Dataset, seed: int, cache: Path) -> dict[str, Any]:
    """The figures of one recipe and seed."""
    if chosen.method == "1nn":
        x = Scaling.fit(data.x_train, "none")
        train, test = (x(part).flatten(1) for part in (data.x_train, data.x_test))
        from sklearn.neighbors import KNeighborsClassifier

        nearest = KNeighborsClassifier(1).fit(train.numpy(), data.y_train.numpy())
        accuracy = nearest.score(test.numpy(), data.y_test.numpy())
        return {"accuracy": {"kNN": {"test": accuracy}}, "train_seconds": 0.0}
    kept = features(chosen, data, seed, cache)
    start = time.process_time()
    accuracy = {}
    if kept["classified"] is not None:
        hit = (kept["classified"] == data.y_test).double().mean().item()
        accuracy["supervised"] = {"test": hit}
    else:
        width = kept["final"].shape[1]
        accuracy = read_out(chosen, data, kept["train"], kept["test"], width, seed)
    report = collapse_report(kept["final"])
    return {
        "accuracy": accuracy,
        "train_seconds": round(kept["seconds"], 1),
        "read_out_seconds": round(time.process_time() - start, 1),
        "effective_rank": report.effective_rank,
        "mean_abs_correlation": report.mean_abs_correlation,
        "config": chosen.config,
    }


def read_out(
    chosen: Recipe, data: Dataset, train: Tensor, test: Tensor, width: int, seed: int
) -> dict[str, dict[str, float]]:
    split = (train, data.y_train, test, data.y_test)
    groups, folds = data.groups, chosen.read_out.get("folds", 5)
    linear, svm = (
        {"folds": folds} | ({"grid": chosen.read_out[k]} if k in chosen.read_out else {})
        for k in ("linear", "svm")
    )
    results = {
        "linear": evaluate.linear_probe(*split, groups=groups, **linear),
        "ridge": evaluate.ridge_probe(*split, groups=groups),
        "SVM": evaluate.svm_probe(*split, groups=groups, **svm),
        "kNN": evaluate.knn_classify(*split, groups=groups, folds=folds, standardize=True),
    }
    if not chosen.members and width < train.shape[1]:
        last = (train[:, -width:], data.y_train, test[:, -width:], data.y_test)
        results["linear, last layer"] = evaluate.linear_probe(*last, groups=groups, **linear)
    for fraction in FRACTIONS:
        rows = evaluate.stratified(data.y_train, fraction, seed)
        some = None if groups is None else groups[rows]
        few = (train[rows], data.y_train[rows], test, data.y_test)
        results[f"linear {fraction:.0%}"] = evaluate.linear_probe(*few, groups=some, **linear)
    return {k: {"test": r.accuracy, "validation": r.validation} for k, r in results.items()}


def features(chosen: Recipe, data: Dataset, seed: int, cache: Path) -> dict[str, Any]:
    """Features of both splits by an encoder from the cache or after training; seconds: of the
    processor.
    """
    if chosen.members:
        parts = [features(recipe(chosen.dataset, m), data, seed, cache) for m in chosen.members]
        # In one scale, so that no member outweighs the others in a distance.
        scales = [part["train"].norm(dim=1).mean() for part in parts]
        joined: dict[str, Any] = {
            key: torch.cat([p[key] / s for p, s in zip(parts, scales, strict=True)], dim=1)
            for key in ("train", "test", "final")
        }
        return joined | {"seconds": sum(p["seconds"] for p in parts), "classified": None}
    if chosen.channels:
        rows = list(chosen.channels)
        data = replace(data, x_train=data.x_train[:, rows], x_test=data.x_test[:, rows])
    config = Config(**chosen.config, seed=seed).resolved(data)
    scaling = Scaling.fit(data.x_train, config.scaling, config.scale_group)
    x = {"train": scaling(data.x_train), "test": scaling(data.x_test)}
    if chosen.method == "statistics":
        return by_hand(x)
    file = cached(chosen, seed, cache)
    if file.exists():
        content = torch.load(file)
    else:
        content = trained(chosen, config, data, x, initial(chosen, config, data, cache))
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".partial")
        torch.save(content, temporary)
        temporary.replace(file)
    encoder = initial(chosen, config, data, cache)
    if chosen.method == "clip":
        encoder = TwoTowers(encoder, copy.deepcopy(encoder))
    encoder.load_state_dict(content["encoder"])
    return {
        **{k: evaluate.features(encoder, part, pooling=chosen.pooling) for k, part in x.items()},
        "final": evaluate.features(encoder, x["test"]),
        "seconds": content["seconds"],
        "classified": content["classified"],
    }


def by_hand(x: dict[str, Tensor]) -> dict[str, Any]:
    """What `features` returns, of no encoder: statistics, standardised by the train rows."""
    found = {k: evaluate.series_statistics(part) for k, part in x.items()}
    mean, deviation = found["train"].mean(0), found["train"].std(0).clamp_min(1e-6)
    z = {k: (part - mean) / deviation for k, part in found.items()}
    return {**z, "final": z["test"], "seconds": 0.0, "classified": None}


class TwoTowers(nn.Module):
    """Both encoders of CLIP, each on its half of the channels, features side by side."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([f(h) for f, h in zip(self.children(), sensors(x), strict=True)], dim=1)


def sensors(x: Tensor) -> tuple[Tensor, Tensor]:
    """What `methods.CLIP.recipe` gives its encoders: half of the channels, the other half 0."""
    half = torch.arange(x.shape[1])[:, None] < x.shape[1] // 2
    return torch.where(half, x, 0.0), torch.where(half, 0.0, x)


def initial(chosen: Recipe, config: Config, data: Dataset, cache: Path) -> Any:
    """The encoder before training: random, or where fine-tuning and transfer start."""
    _, _, source = chosen.method.partition("finetuned_")
    if "transferred" in chosen.method:
        other = recipe(OTHER[chosen.dataset], "simclr")
        shape = SHAPES[other.dataset]
    elif source:
        other, shape = recipe(chosen.dataset, source), (data.channels, data.length)
    else:
        return config.build_encoder(data.channels, data.length)
    file = cached(other, config.seed, cache)
    if not file.exists():
        raise SystemExit(f"{chosen.method}: train {other.method} on {other.dataset} first")
    content = torch.load(file)
    pretrained = Config(**other.config, seed=config.seed)
    encoder = encoders.build(pretrained.encoder, *shape)
    encoder.load_state_dict(content["encoder"])
    return adapt(encoder, shape, (data.channels, data.length))


def cached(chosen: Recipe, seed: int, cache: Path) -> Path:
    return cache / f"{chosen.dataset}-{chosen.method}-{seed}-{chosen.training_digest()}.pt"


def trained(
    chosen: Recipe, config: Config, data: Dataset, x: dict[str, Tensor], encoder: Any
) -> dict[str, Any]:
    start = time.process_time()
    classified = None
    if chosen.method.startswith("random") or chosen.method == "transferred":
        pass
    elif chosen.method == "supervised" or chosen.method.startswith("finetuned_"):
        torch.manual_seed(config.seed)
        method: Any = Supervised.recipe(encoder, len(data.classes), PRESETS[config.views]())
        fit(method, x["train"], config, labels=data.y_train)
        with torch.inference_mode():
            parts = [method.classifier(encoder(part)).argmax(1) for part in x["test"].split(512)]
        classified = torch.cat(parts)
    else:
        method = config.build(data.channels, data.length)
        fit(method, x["train"], config, labels=data.y_train)
        encoder = method.encoder
        if chosen.method == "clip":
            encoder = TwoTowers(encoder, method.other_encoder)
    return {
        "encoder": encoder.state_dict(),
        "classified": classified,
        "seconds": time.process_time() - start,
    }


if __name__ == "__main__":
    main()
