"""What the methods of docs/source-systems.md reach on real series.

    python benchmarks/experiments/source_systems.py --data DIR --seeds 5 methods --set uwave
    python benchmarks/experiments/source_systems.py --data DIR methods --methods simclr
    python benchmarks/experiments/source_systems.py --data DIR --seeds 3 generator  # GenView, UWave
    python benchmarks/experiments/source_systems.py --data DIR robust                    # UCI HAR

DIR holds UWaveGestureLibrary.npz and UCI_HAR.npz. Linear probe of the encoder's last layer on the
official test split, trained as in accuracy_recipes.py; nothing is chosen here.
"""

import folder_above as folder_above

# isort: split
import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import accuracy_recipes
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tsssl_fast import evaluate
from tsssl_fast.data import Dataset, Scaling, load
from tsssl_fast.functional import (
    projected_gradient,
    virtual_adversarial_direction,
)
from tsssl_fast.methods import (
    NEEDS_TOKENS,
    AdversarialTraining,
    GeneratedViews,
    SimCLR,
    Supervised,
)
from tsssl_fast.training import Config, fit, pretrain

PAPERS = ("random", "simclr", "moco_v3", "nnclr", "simmtm", "voco")
# Untrained encoders, and whose they are.
RANDOM = {"random": "simclr", "random_transformer": "data2vec", "random_scattering": "scatsimclr"}
ENCODERS = {"scatsimclr": "scattering"}


def config_of(
    dataset: str, method: str, seed: int, epochs: int | None, amp: str = "bf16"
) -> Config:
    known = accuracy_recipes.COMMON[dataset] | {"amp": amp}
    more: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    name = RANDOM.get(method, method)
    if name in NEEDS_TOKENS or name in ENCODERS:
        more |= {"encoder": ENCODERS.get(name, "auto"), "lr": None}
    return Config(**{**known, "method": name, "seed": seed, **more})


def last_layer(encoder: nn.Module, scaling: Scaling, data: Dataset) -> evaluate.Result:
    encoder.eval()
    with torch.inference_mode():
        train, test = (
            torch.cat([encoder(part).float() for part in scaling(x).split(512)])
            for x in (data.x_train, data.x_test)
        )
    return evaluate.linear_probe(train, data.y_train, test, data.y_test)


def shown(name: str, values: Sequence[float]) -> None:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    print(
        f"{name:24} {statistics.mean(values):.3f} ± {spread:.3f}  ({len(values)} seeds)", flush=True
    )


def methods(data: Dataset, given: argparse.Namespace) -> None:
    for name in given.methods:
        accuracy, f1 = [], []
        for seed in range(given.seeds):
            config = config_of(given.set, name, seed, given.epochs, given.amp)
            if name in RANDOM:
                config = config.resolved(data)
                encoder = config.build_encoder(data.channels, data.length)
                scaling = Scaling.fit(data.x_train, config.scaling, config.scale_group)
            else:
                with tempfile.TemporaryDirectory() as folder:
                    run = pretrain(data, config, folder, monitor=False)
                encoder, scaling = run.method.encoder, run.scaling
            result = last_layer(encoder, scaling, data)
            accuracy.append(result.accuracy)
            f1.append(evaluate.metrics(result, data.y_test).macro_f1)
        shown(name, accuracy)
        shown("  macro F1", f1)


def generator(data: Dataset, given: argparse.Namespace) -> None:
    """SimCLR on views of an SS-GAN's generator alone, beside the same generator untrained."""
    found: dict[str, list[float]] = {"trained": [], "untrained": []}
    for seed in range(given.seeds):
        config = config_of("uwave", "ssgan", seed, given.epochs)
        with tempfile.TemporaryDirectory() as folder:
            run = pretrain(data, config, folder, monitor=False)
        fresh = run.config.build(data.channels, data.length).generator
        for name, made in (("trained", run.method.generator), ("untrained", fresh)):
            encoder = run.config.build_encoder(data.channels, data.length)
            method = SimCLR.recipe(encoder, GeneratedViews(made, given.sigma))
            fit(method, run.scaling(data.x_train), run.config)
            found[name].append(last_layer(encoder, run.scaling, data).accuracy)
    for name, values in found.items():
        shown(f"SimCLR, {name} generator", values)


def robust(data: Dataset, given: argparse.Namespace) -> None:
    """Clean and robust accuracy with and without adversarial training, and KL along r beside that
    of random directions of its norm."""
    config = config_of("har", "simclr", 0, given.epochs).resolved(data)
    scaling = Scaling.fit(data.x_train, config.scaling, config.scale_group)
    x, test = scaling(data.x_train), scaling(data.x_test)[:: given.every]
    y = data.y_test[:: given.every]
    radius = x.std((0, 2), correction=0)[:, None] / 2
    classes = len(data.classes)
    for name in ("plain", "adversarial"):
        encoder = config.build_encoder(data.channels, data.length)
        made: Any = Supervised.recipe(encoder, classes)
        if name == "adversarial":
            made = AdversarialTraining.recipe(encoder, classes, radius=radius)
        fit(made, x, config, labels=data.y_train)
        made.eval()

        def model(v: Tensor, made: Any = made) -> Tensor:
            return made.classifier(made.encoder(v))

        source = torch.Generator().manual_seed(0)
        worst = projected_gradient(
            lambda v: cross_entropy(model(v), y, reduction="sum"),
            *(test, radius),
            steps=10,
            generator=source,
        )
        with torch.inference_mode():
            clean, attacked = ((model(v).argmax(1) == y).float().mean() for v in (test, worst))
        print(f"{name}: clean {clean:.3f}, after 10 steps {attacked:.3f}")
        part = test[:256]
        along = virtual_adversarial_direction(model, part, radius, iterations=2, generator=source)
        d = torch.randn(part.shape, generator=source)
        norm = d.flatten(1).norm(dim=1)[:, None, None]
        chance = radius * d / norm * part[0].numel() ** 0.5
        with torch.inference_mode():
            p = model(part).log_softmax(1)
            kl = [
                (p.exp() * (p - model(part + r).log_softmax(1))).sum(1).mean()
                for r in (along, chance)
            ]
        print(
            f"  KL along r {kl[0]:.4f}, random {kl[1]:.4f}, ratio {kl[0] / kl[1]:.1f}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--amp", default="bf16", help="of the methods; 32 where bfloat16 is slow")
    parts = parser.add_subparsers(dest="what", required=True)
    of_methods = parts.add_parser("methods")
    of_methods.add_argument("--set", choices=accuracy_recipes.SETS, default="uwave")
    of_methods.add_argument("--methods", nargs="+", default=list(PAPERS))
    parts.add_parser("generator").add_argument("--sigma", type=float, default=0.3)
    of_robust = parts.add_parser("robust")
    of_robust.add_argument("--every", type=int, default=1, help="of the test rows")
    given = parser.parse_args()
    name = (
        given.set
        if given.what == "methods"
        else {"generator": "uwave", "robust": "har"}[given.what]
    )
    data = load(given.data / f"{accuracy_recipes.SETS[name]}.npz")
    {"methods": methods, "generator": generator, "robust": robust}[given.what](data, given)


if __name__ == "__main__":
    main()
