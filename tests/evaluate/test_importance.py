"""Permutation importance of channels."""

import pytest
import torch

from tsssl_fast.evaluate import channel_importance


def test_the_informative_channel_is_found() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(200, 3, 20), torch.arange(200) % 2
    x[:, 1] += 3.0 * y[:, None]

    def predict(series):
        weak = 0.001 * series[:, 0].mean(1)
        return (series[:, 1].mean(1) + weak > 1.5).long()

    found = channel_importance(predict, x, y)
    assert found[1] > 0.2
    assert found[[0, 2]].abs().max() <= 0.01
    # One repeat is accuracy before minus after.
    order = torch.randperm(200, generator=torch.Generator().manual_seed(4))
    mixed = x.clone()
    mixed[:, 1] = x[order, 1]
    falls = (predict(x) == y).double().mean() - (predict(mixed) == y).double().mean()
    assert channel_importance(predict, x, y, repeats=1, seed=4)[1].item() == pytest.approx(falls)
    with pytest.raises(ValueError, match=r"y: shape \(3,\)"):
        channel_importance(predict, x, y[:3])
