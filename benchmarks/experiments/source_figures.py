"""Figures of single items of docs/source-systems.md, each a function (data, settings, seed)."""

from collections.abc import Sequence
from typing import Any

import torch
from accuracy_recipes import COMMON
from scipy.stats import spearmanr
from source_recipes import Item, frozen_probe, last_layer, probed, settings_of, trained, untrained
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from tsssl_fast import encoders, evaluate, masking
from tsssl_fast.data import NONE, Dataset, Scaling
from tsssl_fast.encoders.features import mean_max
from tsssl_fast.functional import (
    projected_gradient,
    similarity_aggregate,
    virtual_adversarial_direction,
)
from tsssl_fast.methods import (
    AdversarialTraining,
    Batch,
    GeneratedViews,
    Method,
    MultiTask,
    SimCLR,
    Supervised,
)
from tsssl_fast.methods.dsla import perturbed
from tsssl_fast.training import Config, fine_tune, fit, fit_stages
from tsssl_fast.training.loop import fold
from tsssl_fast.training.views import PRESETS

PHRASES = (
    *("walking", "walking upstairs", "walking downstairs"),
    *("sitting down", "standing up", "lying down"),
)


def whole(data: Dataset, scaling: Scaling, seed: int = 0) -> Batch:
    """All test series as one batch."""
    x = scaling(data.x_test)
    return Batch(x, torch.arange(len(x)), seed)


def har_probe(data: Dataset, settings: dict[str, Any], seed: int) -> dict[str, float]:
    found = frozen_probe(data, settings, seed)
    return {name: found[name] for name in ("accuracy", "macro_f1")}


def hidden_error(data: Dataset, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Squared error at hidden steps of test series, where all copies of a series hide the same
    steps: SimMTM with the series themselves among the rows, and with the masked ones alone, beside
    masked reconstruction."""
    found = {}
    for name in ("simmtm", "masked_reconstruction"):
        run = trained(data, settings | {"method": name}, seed)
        method, batch = run.method.eval(), whole(data, run.scaling)
        hidden = masking.random_mask(
            batch.x.shape, 0.5, mode="geometric", size=3, per_channel=True, seed=1234
        )
        masked = masking.fill(batch.x, hidden)
        rows = {"masked_alone": masked, "with_originals": torch.cat([masked, batch.x])}
        if name == "masked_reconstruction":
            rows = {"masked_reconstruction": masked}
        for kind, x in rows.items():
            with torch.no_grad():
                h = torch.cat([method.encoder.feature_map(p) for p in x.split(160)])
                if name == "simmtm":
                    z = method.projector(mean_max(h, None))
                    h = similarity_aggregate(z, h, temperature=method.temperature)
                y = interpolate(method.head(h[: len(batch.x)].squeeze(2)), batch.x.shape[-1])
                found[kind] = masking.masked_loss(y, batch.x, hidden).item()
    return found


def robust(data: Dataset, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Clean and attacked accuracy with and without adversarial training (PGD within half of the
    channels' deviation), and KL along the adversarial direction over that of a random one."""
    config = Config(**settings["training"], seed=seed).resolved(data)
    scaling = Scaling.fit(data.x_train, config.scaling, config.scale_group)
    x, every = scaling(data.x_train), settings["every"]
    test, y = scaling(data.x_test)[::every], data.y_test[::every]
    radius = x.std((0, 2), correction=0)[:, None] / 2
    found = {}
    for name in ("plain", "adversarial"):
        encoder = config.build_encoder(data.channels, data.length)
        torch.manual_seed(fold(seed, 7))
        made: Any = Supervised.recipe(encoder, len(data.classes))
        if name == "adversarial":
            made = AdversarialTraining.recipe(encoder, len(data.classes), radius=radius)
        fit(made, x, config, labels=data.y_train)
        model = nn.Sequential(made.encoder, made.classifier).eval()
        source = torch.Generator().manual_seed(seed)
        worst = projected_gradient(
            lambda v, model=model: cross_entropy(model(v), y, reduction="sum"),
            *(test, radius),
            steps=10,
            generator=source,
        )
        with torch.inference_mode():
            for kind, series in (("clean", test), ("attacked", worst)):
                right = (model(series).argmax(1) == y).float().mean()
                found[f"{name}_{kind}"] = right.item()
        if name == "plain":
            found["divergence_ratio"] = divergence(model, test[:256], radius, source)
    return found


def divergence(model: nn.Module, x: Tensor, radius: Tensor, source: torch.Generator) -> float:
    """KL along the virtual adversarial direction over that of random ones of its norm."""
    along = virtual_adversarial_direction(model, x, radius, iterations=2, generator=source)
    d = torch.randn(x.shape, generator=source)
    norm = d.flatten(1).norm(dim=1)[:, None, None]
    chance = radius * d / norm * x[0].numel() ** 0.5
    with torch.inference_mode():
        p = model(x).log_softmax(1)
        adversarial, random = (
            (p.exp() * (p - model(x + r).log_softmax(1))).sum(1).mean() for r in (along, chance)
        )
    return float(adversarial / random)


def generator(data: Dataset, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """SimCLR on views of an SS-GAN's generator alone, of the same generator untrained, and on
    noise."""
    run = trained(data, settings["training"] | {"method": "ssgan"}, seed)
    fresh: Any = run.config.build(data.channels, data.length)
    made = {
        "trained": GeneratedViews(run.method.generator, settings["sigma"]),
        "untrained": GeneratedViews(fresh.generator, settings["sigma"]),
        "noise": PRESETS["noise"](),
    }
    found = {}
    for name, views in made.items():
        encoder = run.config.build_encoder(data.channels, data.length)
        torch.manual_seed(fold(seed, 7))
        fit(SimCLR.recipe(encoder, views), run.scaling(data.x_train), run.config)
        found[name] = probed(encoder, run.scaling, data)["accuracy"]
    return found


def few_labels(data: Dataset, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """A tenth of the labels: in one step with self-supervision, the same without it, and after
    pre-training by a probe and by fine-tuning."""
    rows = evaluate.stratified(data.y_train, settings["share"], seed=seed)
    run = trained(data, settings["training"], seed)
    config, scaling = run.config, run.scaling
    x, labels = scaling(data.x_train), torch.full_like(data.y_train, NONE)
    labels[rows] = data.y_train[rows]
    few = Dataset(
        *("few", data.x_train[rows], data.y_train[rows], data.x_test, data.y_test, data.classes)
    )
    found = {"pre_train_and_probe": probed(run.method.encoder, scaling, few)["accuracy"]}
    for name, weight in (("together", settings["weight"]), ("labels_alone", 0.0)):
        built = config.build(data.channels, data.length)
        torch.manual_seed(fold(seed, 7))
        method = MultiTask.recipe(built, len(data.classes), PRESETS[config.views](), weight)
        fit(method, x, config, labels=labels)
        method.eval()
        test = last_layer(nn.Sequential(method.encoder, method.classifier), scaling(data.x_test))
        found[name] = (test.argmax(1) == data.y_test).float().mean().item()
    tuning = Config(**settings["tuning"], seed=seed).resolved(few)
    views = PRESETS[config.views]()
    tuned = fine_tune(run.method.encoder, scaling, few, tuning, views=views)
    return {**found, "pre_train_and_fine_tune": tuned.metrics.accuracy}


def text_supervision(data: Dataset, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """CLIP with the classes' names as texts: by prompts, and by a probe of the last layer."""
    method, scaling, prompts = with_texts(data, settings, seed, range(len(PHRASES)))
    told = method.classify(scaling(data.x_test), prompts).argmax(1)
    right = (told == data.y_test).float().mean().item()
    return {"prompts": right, "probe": probed(method.encoder, scaling, data)["accuracy"]}


def open_vocabulary(data: Dataset, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """The same with one class held out of training, found by its prompt alone among all."""
    found = {}
    for held in settings["held"]:
        kept = [c for c in range(len(PHRASES)) if c != held]
        method, scaling, prompts = with_texts(data, settings, seed, kept)
        of_class = scaling(data.x_test)[data.y_test == held]
        told = method.classify(of_class, prompts).argmax(1)
        found[PHRASES[held].replace(" ", "_")] = (told == held).float().mean().item()
    return {**found, "chance": 1 / len(PHRASES)}


def with_texts(
    data: Dataset, settings: dict[str, Any], seed: int, classes: Sequence[int]
) -> tuple[Any, Scaling, list[str]]:
    """CLIP of the series of some classes and their texts, in evaluation mode; its scaling; a prompt
    for every class."""
    keep = torch.isin(data.y_train, torch.tensor(list(classes)))
    config = Config(**settings["training"], seed=seed).resolved(data)
    scaling = Scaling.fit(data.x_train, config.scaling, config.scale_group)
    texts = [PHRASES[y] for y in data.y_train[keep].tolist()]
    method: Method = config.build(data.channels, data.length, texts=texts)
    fit(method, scaling(data.x_train)[keep], config)
    return method.eval(), scaling, list(PHRASES)


def stages(data: Dataset, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Two stages of an encoder beside one of twice the width."""
    config = Config(**settings["training"], seed=seed).resolved(data)
    scaling = Scaling.fit(data.x_train, config.scaling, config.scale_group)
    found = {}
    for count in (1, 2):
        filters = settings["filters"] * 2 // count

        def build(stage: int, filters: int = filters) -> nn.Module:
            return encoders.build("inception", data.channels, data.length, filters=filters)

        made = fit_stages(
            *(build, PRESETS[config.views](), scaling(data.x_train), config),
            stages=count,
            clusters=settings["clusters"],
        )
        found[("one_stage", "two_stages")[count - 1]] = probed(made, scaling, data)["accuracy"]
        found[f"width_of_{count}"] = made.out_features
    return found


def words(data: Dataset, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """w2v-BERT: how many words are in use, and how often the word of a hidden patch of a test
    series is named, beside the share of the commonest word."""
    run = trained(data, settings["training"], seed)
    method: Any = run.method.eval()
    with torch.no_grad():
        batch = whole(data, run.scaling)
        _, logs = method.loss(batch)
        patches, hidden = method.masked(batch)
        codes = method.quantizer(patches[hidden]).codes
    count = len(method.quantizer.codebook)
    share = codes.bincount(minlength=count) / len(codes)
    return {
        "words": count,
        "perplexity": torch.special.entr(share).sum().exp().item(),
        "named": logs["code_accuracy"].item(),
        "commonest": share.max().item(),
        "by_frequency": share.square().sum().item(),
    }


def strengths(data: Dataset, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """D-SLA: rank correlation, over test series and kinds of perturbation, of the distance of
    features with the drawn strength; of the untrained encoder, too."""
    run = trained(data, settings["training"], seed)
    before, _ = untrained(data, settings["training"], seed)
    batch = whole(data, run.scaling, seed=99)
    kind, strength, noise = (part[0] for part in run.method.draw(batch))
    copies = perturbed(batch.x, kind, strength, noise)
    found = {}
    for name, encoder in (("untrained", before), ("trained", run.method.encoder)):
        apart = (last_layer(encoder, copies) - last_layer(encoder, batch.x)).norm(dim=1)
        found[name] = float(spearmanr(apart.numpy(), strength.numpy()).statistic)
    return found


HAR = COMMON["har"]
UWAVE = COMMON["uwave"]
TUNING = HAR | {"method": "simclr", "epochs": 20, "batch_size": 64, "lr": 1e-3}
SIMCLR = HAR | {"method": "simclr"}
DEVICES = HAR | {"method": "collossl", "options": {"devices": 3}}
ITEMS = (
    Item("har_simclr", "SimCLR, UCI HAR", "har", SIMCLR, har_probe, 3),
    Item("har_collossl", "ColloSSL by sensor, UCI HAR", "har", DEVICES, har_probe, 3),
    Item("same_steps", "SimMTM, squared error at hidden steps", "uwave", UWAVE, hidden_error, 3),
    Item(
        *("robust", "adversarial training, UCI HAR", "har"),
        {"training": SIMCLR, "every": 2},
        robust,
        2,
    ),
    Item(
        *("generator", "SimCLR on views of a generator", "uwave"),
        {"training": UWAVE, "sigma": 0.3},
        generator,
        3,
    ),
    Item(
        *("few_labels", "S4L, 10 % of the labels of UCI HAR", "har"),
        {"training": SIMCLR, "tuning": TUNING, "share": 0.1, "weight": 1.0},
        few_labels,
    ),
    Item(
        *("text_supervision", "CLIP, texts of labels, UCI HAR", "har"),
        {"training": HAR | {"method": "clip"}, "texts": PHRASES},
        text_supervision,
        3,
    ),
    Item(
        *("open_vocabulary", "CLIP, a class held out, found by its prompt", "har"),
        {"training": HAR | {"method": "clip"}, "texts": PHRASES, "held": [1, 2]},
        open_vocabulary,
        3,
    ),
    Item(
        *("stages", "MCL, two stages beside one of twice the width", "uwave"),
        {"training": UWAVE, "filters": 16, "clusters": 8},
        stages,
    ),
    Item(
        *("words", "w2v-BERT, words of hidden patches of test series", "uwave"),
        {"training": settings_of("w2v_bert", "patch_transformer")},
        words,
    ),
    Item(
        *("strengths", "D-SLA, rank correlation of distance and strength", "uwave"),
        {"training": settings_of("dsla", "inception")},
        strengths,
    ),
)
