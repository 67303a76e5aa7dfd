"""What `evaluate` shows of 24 test series: intervals, names of channels, nothing of others."""

import csv
import html
import json
import re

import numpy as np
import pytest
import torch

from tsssl_fast import cli, training
from tsssl_fast.evaluate import interval
from tsssl_fast.report import page
from tsssl_fast.report.html import MEANING

# What Python itself does not show outside of __main__.
UNSEEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with a table of named channels and a run on it."""
    folder, rng = tmp_path_factory.mktemp("few"), np.random.default_rng(0)
    lines = ["series,split,label,time,acc_x,cost$^$"]
    for number in range(48):
        kind = number % 3
        # All series in one direction, which scikit-learn's ridge warns of.
        wave = np.sin(np.arange(32) * 0.3) * (1 + 0.02 * kind + 0.01 * rng.normal())
        for step, x in enumerate(wave.round(6)):
            split = ("train", "test")[number // 24]
            lines.append(f"{number},{split},k{kind},{step},{x},{-x}")
    (folder / "t.csv").write_text("\n".join(lines))
    words = ("pretrain", "--data", folder / "t.csv", "--out", folder / "run", "--epochs", 2)
    recipe = ("--batch-size", 8, "--encoder", "resnet", "--views", "noise")
    assert cli.run([str(word) for word in (*words, *recipe)]) == 0
    return folder


def test_a_report_is_quiet_and_each_figure_has_its_sentence(run, command, monkeypatch, recwarn):
    shown, drawn = {}, page.image

    def watched(name, figure):
        shown[name] = figure
        return drawn(name, figure)

    monkeypatch.setattr(page, "image", watched)
    given = ("evaluate", "--checkpoint", run / "run", "--data", run / "t.csv")
    status, _, told = command(*given, "--report", run / "report")
    assert status == 0, told
    assert all(line.startswith("tsssl-fast: note: data: ") for line in told.splitlines())
    assert [str(w.message) for w in recwarn if not issubclass(w.category, UNSEEN)] == []
    text = (run / "report" / "report.html").read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert {html.unescape(heading) for heading in headings} == set(MEANING)
    assert set(shown) < set(MEANING)
    for name, sentence in MEANING.items():
        behind = text.partition(f"<h2>{html.escape(name)}</h2>")[2].partition("<h2>")[0]
        assert f"<p>{html.escape(sentence)}</p>" in behind, name
        assert ("<img " in behind) == (name in shown)

    with (run / "run" / "log.csv").open(newline="") as file:
        columns = [n for n in next(csv.reader(file)) if n not in ("epoch", "step", "seconds")]
    panels = [axes for axes in shown["Training"].axes if axes.axison]
    assert [axes.get_title() for axes in panels] == [name.replace("_", " ") for name in columns]
    assert all(axes.has_data() for axes in panels)
    assert len(columns) % 4  # panels stand in rows of four
    concepts = [t.get_text() for t in shown["Network dissection"].axes[0].get_yticklabels()]
    assert concepts[-3:] == ["channel acc_x", r"channel cost\$^\$", "none"]


def test_each_accuracy_has_its_interval(run, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    given = ("evaluate", "--checkpoint", run / "run", "--data", run / "t.csv")
    status, text, told = command(*given, "--json")
    assert status == 0, told
    found = json.loads(text)
    assert found["series"] == 24
    status, text, _ = command(*given)
    assert "t: accuracy on 24 test series" in text
    assert len(found["accuracy"]) == 2
    for encoder, row in found["accuracy"].items():
        (line,) = [line for line in text.splitlines() if encoder in line]
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        ends = [(accuracy, *interval(accuracy, 24)) for accuracy in row.values()]
        assert cells == [encoder, *(f"{a:.3f} ({low:.2f}-{high:.2f})" for a, low, high in ends)]


@pytest.mark.clean_memory
def test_export_says_one_line(run, command, recwarn):
    out = run / "encoder.pt2"
    status, text, told = command("export", "--checkpoint", run / "run", "--out", out)
    assert (status, told) == (0, "")
    assert text == f"{out}: simclr encoder of t, (N, 2, 32) -> (N, 256)\n"
    assert [str(w.message) for w in recwarn if not issubclass(w.category, UNSEEN)] == []


@pytest.mark.clean_memory
def test_export_of_features_per_step(run, command):
    out = run / "steps.pt2"
    _, text, _ = command("export", "--checkpoint", run / "run", "--out", out, "--steps")
    encoder, scaling, _ = training.load_encoder(run / "run")
    x = torch.randn(3, 2, 32)
    steps, pooled = torch.export.load(out).module()(x)
    own = encoder.features(scaling(x))
    assert f"-> (N, {steps.shape[1]}, {steps.shape[2]}), (N, 256)\n" in text
    torch.testing.assert_close(steps, own.steps, rtol=0, atol=1e-5)
    torch.testing.assert_close(pooled, own.pooled, rtol=0, atol=1e-5)


@pytest.mark.clean_memory
def test_an_encoder_is_tried_on_a_device_and_written_for_the_cpu(run, command, monkeypatch):
    seen, out = [], run / "tried.pt2"

    def look(_, given):
        seen.append(given[0].device.type)

    monkeypatch.setattr(training, "device", torch.device)
    hook = torch.nn.modules.module.register_module_forward_pre_hook(look)
    try:
        words = ("export", "--checkpoint", run / "run", "--out", out, "--device", "meta")
        status, _, told = command(*words)
    finally:
        hook.remove()
    assert status == 0, told
    assert seen[0] == "meta"
    program = torch.export.load(out)
    assert {weight.device.type for weight in program.state_dict.values()} == {"cpu"}
    encoder, scaling, _ = training.load_encoder(run / "run")
    x = torch.randn(3, 2, 32)
    assert torch.allclose(program.module()(x), encoder(scaling(x)), atol=1e-5)
