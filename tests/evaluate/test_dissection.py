"""Units that are concepts by construction are told so; the report holds what it says."""

import math
import re

import pytest
import torch
from torch import Tensor, nn
from toy import dataset

from tsssl_fast import encoders
from tsssl_fast.data import Scaling
from tsssl_fast.evaluate import dissection
from tsssl_fast.report import plots
from tsssl_fast.report.html import figures, write_report


class Planted(nn.Module):
    """Units: the slope of channel 0, its negative, the energy of channel 1, a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([Units()])

    def forward(self, x: Tensor) -> Tensor:
        return self.stages[0](x).mean(-1)


class Units(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        slope = torch.gradient(x[:, 0], dim=-1)[0]
        return torch.stack([slope, -slope, x[:, 1].abs(), torch.ones_like(slope)], 1)


def series(n=24, steps=96):
    time = torch.linspace(0, 1, steps)
    phase = torch.rand(n, 1, generator=torch.Generator().manual_seed(0)) * 2 * math.pi
    smooth = torch.sin(2 * math.pi * time + phase)
    burst = torch.zeros(n, steps)
    for row in range(n):
        burst[row, 3 * row : 3 * row + 12] = 3 * (-1.0) ** torch.arange(12)
    return torch.stack([smooth, burst], 1)


def test_planted_units_are_found():
    x = series()
    found = dissection.dissect(Planted(), x)
    chosen = {unit: concept for unit, concept, _ in found.selected()}
    assert chosen[0] == "rising"
    assert chosen[1] == "falling"
    assert chosen[2] in ("channel 1", "spike", "high frequency")
    assert chosen[3] == "none"
    assert sum(found.counts().values()) == 4
    assert found.iou.min() >= 0
    assert found.iou.max() <= 1
    assert found.activations.shape == (24, 4, 96)
    assert plots.dissection(found, x) is not None
    assert found.names[-2:] == ("channel 0", "channel 1")
    named = dissection.dissect(Planted(), x, ("acc_x", "acc_y"))
    assert named.names == (*found.names[:-2], "channel acc_x", "channel acc_y")
    assert torch.equal(named.iou, found.iou)


def test_the_overlap_of_unrelated_masks_is_that_of_chance():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(50, 1, 400, generator=generator) for _ in range(2))
    unit, concept = dissection._mask(a), dissection._mask(b)
    assert float(unit.mean()) == pytest.approx(0.1)
    both = (unit * concept).sum()
    assert float(both / (unit.sum() + concept.sum() - both)) == pytest.approx(0.053, abs=0.01)


def test_bad_input():
    with pytest.raises(ValueError, match="encoder: Linear has no stages"):
        dissection.dissect(nn.Linear(3, 3), torch.zeros(2, 2, 16))
    with pytest.raises(ValueError, match=r"x: shape \(2, 2, 4\)"):
        dissection.concepts(torch.zeros(2, 2, 4))


def test_report(tmp_path):
    data = dataset(n=30, length=48)
    scaling = Scaling.fit(data.x_train)
    rows, built = {}, []
    for seed, name in enumerate(("first <encoder>", "second")):
        torch.manual_seed(seed)
        built.append(encoders.build("resnet", data.channels, data.length))
        rows[name] = figures(built[-1], scaling, data)
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss,lr\n0,2.0,0.1\n1,1.0,0.05\n")
    path = write_report(tmp_path / "out", "toy", data, rows, built[-1], scaling, log)
    page = path.read_text()
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    assert page.count("data:image/png;base64,") == 5
    assert not re.search(r'(src|href)="(?!data:)', page)  # self-contained
    assert "first &lt;encoder&gt;" in page
    accuracy = rows["second"].results["ridge"].accuracy
    assert f"<td>{accuracy:.3f} (" in page  # its interval follows
    for name in ("macro F1", "AUC", "NMI", "ARI", "recall@5", "MRR", "effective rank"):
        assert name in page
    assert list(rows["second"].fractions) == [0.01, 0.05, 0.1, 0.5, 1.0]
