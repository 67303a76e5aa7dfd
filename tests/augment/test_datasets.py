"""Items of a Dataset that are augmented in its workers: the same in every worker, new in every
epoch, and never the same noise on two series."""

import multiprocessing

import pytest
import torch
from cases.datasets import Augmented
from torch.utils.data import DataLoader

from tsssl_fast import augment

N = 12


@pytest.mark.parametrize(
    ("method", "persistent"),
    [(None, False), ("fork", False), ("fork", True), ("spawn", False), ("spawn", True)],
)
def test_workers_and_epochs(method, persistent):
    data = Augmented(N)
    loader = DataLoader(
        data,
        batch_size=5,
        num_workers=2 if method else 0,
        multiprocessing_context=multiprocessing.get_context(method) if method else None,
        persistent_workers=persistent,
        timeout=100 if method else 0,
    )
    for epoch in range(3):
        data.epoch.fill_(epoch)
        expected = data.pipeline(data.x, seed=1, epoch=epoch)
        assert torch.equal(torch.cat(list(loader)), expected)
        assert not torch.equal(expected, data.pipeline(data.x, seed=1, epoch=epoch + 1))


def test_views_of_an_item():
    data = Augmented(N, views=2)
    expected = data.pipeline(data.x, 2, seed=1).transpose(0, 1)
    assert torch.equal(next(iter(DataLoader(data, batch_size=N))), expected)


def test_no_two_series_get_the_same_noise():
    x, jitter = torch.zeros(N, 1, 64), augment.Jitter()
    noise = [jitter(x[i], seed=0, sample_id=i) for i in range(N)]
    for i in range(N):
        for j in range(i):
            assert (noise[i] - noise[j]).abs().max() > 0.01
    with pytest.raises(ValueError, match=r"^sample_id: None; accepted: the series' index"):
        jitter(x[0], seed=0)
