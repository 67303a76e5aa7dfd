"""Fine-tuning that keeps lower layers, moves them slowly, and adds a contrast of labels."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize
from toy import dataset

from tsssl_fast import encoders, functional
from tsssl_fast.data import Scaling
from tsssl_fast.methods import Batch, Supervised
from tsssl_fast.training import Settings, fine_tune
from tsssl_fast.training.finetune import layer_rates, layers_of
from tsssl_fast.training.loop import adamw

SETTINGS = Settings(epochs=3, batch_size=12, amp="32")


def tuned(**options):
    data = dataset()
    torch.manual_seed(0)
    encoder = encoders.build("resnet", 3, 40, widths=(4, 8))
    fine_tune(encoder, Scaling.fit(data.x_train), data, SETTINGS, **options)
    return encoder


def test_mixed_pairs_and_their_contrast_are_loops() -> None:
    torch.manual_seed(0)
    z, labels = torch.randn(7, 3, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 1, 0, 2])
    harder, valid = functional.mix_hardest_pairs(
        z, labels, least=0.7, generator=torch.Generator().manual_seed(3)
    )
    drawn = torch.rand(7, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    u, rows = normalize(z), range(7)
    for i in rows:
        same = [j for j in rows if j != i and labels[j] == labels[i]]
        other = [j for j in rows if labels[j] != labels[i]]
        assert valid[i] == bool(same and other)
        if not same:
            continue
        p = min(same, key=lambda j: float(u[i] @ u[j]))
        n = max(other, key=lambda j: float(u[i] @ u[j]))
        m = 0.7 + 0.3 * drawn[i]
        mixed = m * u[p] + (1 - m) * u[n]
        torch.testing.assert_close(harder[i], mixed / mixed.norm(), rtol=0, atol=1e-12)
    loss = functional.core_tuning_loss(
        *(z, labels),
        temperature=0.5,
        least=0.7,
        reduction="none",
        generator=torch.Generator().manual_seed(3),
    )
    keys = [(u[j], int(labels[j]), j) for j in rows]
    keys += [(harder[j], int(labels[j]), None) for j in rows if valid[j]]
    for i in rows:
        others = [(math.exp(float(u[i] @ v) / 0.5), y) for v, y, j in keys if j != i]
        total = sum(e for e, _ in others)
        terms = [-math.log(e / total) for e, y in others if y == labels[i]]
        expected = sum(terms) / len(terms) if terms else 0.0
        assert loss[i].item() == pytest.approx(expected, rel=1e-12)


def test_the_contrast_has_the_gradient_of_differences() -> None:
    torch.manual_seed(1)
    labels = torch.tensor([0, 0, 1, 1, 2])
    assert torch.autograd.gradcheck(
        lambda z: functional.core_tuning_loss(
            z, labels, generator=torch.Generator().manual_seed(0), temperature=0.5
        ),
        (torch.randn(5, 3, dtype=torch.float64, requires_grad=True),),
    )
    with pytest.raises(ValueError, match=r"least: 0.5; accepted: a number in \(0.5, 1\]"):
        functional.mix_hardest_pairs(torch.randn(4, 2), torch.zeros(4).long(), least=0.5)


def test_decay_one_and_weight_nought_change_no_bit() -> None:
    plain = tuned()
    same = tuned(freeze=0, layer_decay=1.0, contrast=0.0)
    for a, b in zip(plain.state_dict().values(), same.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    for more in ({"layer_decay": 0.5}, {"contrast": 0.5}, {"freeze": 1}):
        other = tuned(**more)
        assert not torch.equal(other.blocks[1].conv1.weight, plain.blocks[1].conv1.weight)


def test_frozen_layers_stay_with_their_statistics() -> None:
    torch.manual_seed(0)
    fresh = encoders.build("resnet", 3, 40, widths=(4, 8))
    found = tuned(freeze=2)
    assert len(layers_of(found)) == 3
    for key, value in found.state_dict().items():
        kept = key.startswith(("stem", "blocks.0"))
        assert torch.equal(value, fresh.state_dict()[key]) == kept, key


def test_rates_fall_from_layer_to_layer() -> None:
    names = {
        "resnet": ["stem", "blocks.0", "blocks.1", "blocks.2"],
        "inception": ["modules_.0", "modules_.1", "modules_.2", "shortcut"],
        "causal": ["stem", *(f"blocks.{i}" for i in range(6))],
        "patch_transformer": ["embedding", *(f"blocks.{i}" for i in range(4))],
    }
    for name, expected in names.items():
        encoder = encoders.build(name, 3, 40)
        layers = layers_of(encoder)
        assert [dict(encoder.named_modules())[n] for n in expected] == layers
        rates = layer_rates(layers, 0.5)
        for place, layer in enumerate(layers):
            for p in layer.parameters():
                assert rates[p] == 0.5 ** (len(layers) - place)
        assert len(rates) == len(list(encoder.parameters()))
    # An encoder of one's own: its parts as it holds them.
    own = nn.Sequential(nn.Conv1d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(76, 4))
    assert layers_of(own) == [own[0], own[3]]
    method = Supervised(own, nn.Linear(4, 3))
    groups = adamw(method, SETTINGS, layer_rates(layers_of(own), 0.5)).param_groups
    found = {p: g.get("rate_factor", 1.0) for g in groups for p in g["params"]}
    expected = {own[0].weight: 0.25, own[3].bias: 0.5, method.classifier.weight: 1.0}
    assert all(found[p] == rate for p, rate in expected.items())
    assert len(found) == len(list(method.parameters()))


def test_the_contrast_is_added_to_the_cross_entropy() -> None:
    data, torch_seed = dataset(), 5
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(120, 6))
    method = Supervised(encoder, nn.Linear(6, 3))
    given = Batch(data.x_train, torch.arange(24), torch_seed, data.y_train)
    plain, _ = method.loss(given)
    method.contrast = 0.3
    both, _ = method.loss(given)
    source = torch.Generator().manual_seed(torch_seed)
    term = functional.core_tuning_loss(encoder(data.x_train), data.y_train, generator=source)
    torch.testing.assert_close(both, plain + 0.3 * term)


def test_what_does_not_fit_is_named() -> None:
    for options, said in (
        ({"freeze": 4}, "freeze: 4; accepted: 0 to the encoder's 3 layers"),
        ({"freeze": -1}, "freeze: -1"),
        ({"layer_decay": 0.0}, r"layer_decay: 0.0; accepted: a number in \(0, 1\]"),
        ({"contrast": -1.0}, "contrast: -1.0"),
    ):
        with pytest.raises(ValueError, match=said):
            tuned(**options)
