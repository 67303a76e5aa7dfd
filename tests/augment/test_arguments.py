"""Every argument of every operation, given what it is not: an error that begins with its name."""

import dataclasses
import math

import pytest
import torch

from tsssl_fast import augment

CLASSES = [
    getattr(augment, name)
    for name in augment.__all__
    if hasattr(getattr(augment, name), "Config") and name not in ("Compose", "PerView", "Transform")
]
JUNK = [
    *(None, "junk", object(), math.nan, math.inf, -math.inf, -3, -0.5, 7e9, 1 + 2j, True),
    *((), (1,), (0.9, 0.1), (5, 2), (1, 2, 3), ("a", "b"), (0.5, math.nan), [1, 2], {}),
]


REQUIRED = {
    augment.ClipPairs: {"length": 8},
    augment.ChannelSwap: {"pairs": [(0, 1)]},
    augment.BandRoll: {"size": 4},
}


def required(cls):
    if issubclass(cls, augment.groups.Group):
        return {"transforms": [augment.TimeFlip()]}
    if issubclass(cls, augment.signals._InHertz):
        return {"rate": 1000.0}
    return REQUIRED.get(cls, {})


def refusal(cls, **arguments):
    """What the constructor says, or None where it takes the arguments."""
    try:
        cls(**{**required(cls), **arguments})
    except (ValueError, TypeError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_name_their_argument(cls):
    for field in dataclasses.fields(cls.Config):
        said = [refusal(cls, **{field.name: value}) for value in JUNK]
        refused = [text for text in said if text is not None]
        assert len(refused) >= len(JUNK) // 2, field.name
        for text in refused:
            assert text.startswith(field.name), text
            assert "accepted" in text


@pytest.mark.parametrize("triples", [(0, 1, 2), (), ((0, 1),), ((0, 1, 1),), ((0, 1, -2),), 3])
def test_odd_triples_are_refused(triples):
    with pytest.raises(ValueError, match=r"^triples: .*accepted"):
        augment.Rotation(triples)


def test_a_call_that_passed_lets_no_other_kind_of_batch_pass() -> None:
    pipeline = augment.presets.simclr_ts()
    x = torch.randn(2, 3, 20)
    first = pipeline(x, 2, seed=-3, epoch=1)
    assert torch.equal(first, pipeline(x, 2, seed=torch.tensor(-3), epoch=1))
    assert torch.equal(first, pipeline(x, 2, seed=2**64 - 3, epoch=1))
    for bad, error in ((x.long(), TypeError), (x[0, 0], ValueError), (x.to_sparse(), ValueError)):
        with pytest.raises(error, match=r"^x: "):
            pipeline(bad, 2, seed=0)
    with pytest.raises(ValueError, match=r"^layout"):
        pipeline(x, 2, seed=0, layout="TNC")
    with pytest.raises(ValueError, match=r"^nan"):
        pipeline(x, 2, seed=0, nan="ignore")
    with pytest.raises(ValueError, match=r"^seed"):
        pipeline(x, 2, seed=2**64)
