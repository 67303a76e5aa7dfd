"""Near-duplicates, and identification by votes of snippets."""

import pytest
import torch

from tsssl_fast import evaluate


def test_copies_are_found_and_nothing_else() -> None:
    """500 copies with noise of .01 of the deviation and a shift of one step among 1,500."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1000, 3, 64, generator=generator)
    series = torch.nn.functional.avg_pool1d(noise, 5, 1, padding=2)
    copies = series[:500].roll(1, -1)
    copies = copies + 0.01 * copies.std() * torch.randn(copies.shape, generator=generator)
    order = torch.randperm(1500, generator=generator)
    x = torch.cat([series, copies])[order]
    # An embedding that a shift does not change: amplitudes of the spectrum.
    z = torch.fft.rfft(x).abs().flatten(1)
    z = z - z.mean(0)
    first = evaluate.near_duplicates(z, threshold=0.95, block=400)
    source = torch.cat([torch.arange(1000), torch.arange(500)])[order]
    found = first != torch.arange(1500)
    assert (source[first] == source).all()  # no false merge
    assert found.sum() >= 0.99 * 500
    assert (first[first] == first).all()
    assert (first <= torch.arange(1500)).all()


def test_a_loop_keeps_the_first() -> None:
    torch.manual_seed(0)
    z = torch.randn(40, 2)
    expected: list[int] = []
    for i in range(40):
        alike = [
            j
            for j in range(i)
            if expected[j] == j and torch.cosine_similarity(z[i], z[j], dim=0) > 0.9
        ]
        expected.append(alike[0] if alike else i)
    for block in (1, 7, 64):
        found = evaluate.near_duplicates(z, threshold=0.9, block=block)
        assert found.tolist() == expected
    with pytest.raises(ValueError, match="threshold: 1; accepted"):
        evaluate.near_duplicates(z, threshold=1)


def test_snippets_vote() -> None:
    gallery = torch.eye(4)
    piece = torch.tensor([5, 5, 2, 7])
    snippets = torch.eye(4)[[0, 1, 2, 3, 3, 2]] + 0.1
    recording = torch.tensor([9, 9, 9, 1, 1, 1])
    found = evaluate.identify_by_votes(snippets, recording, gallery, piece)
    assert found.queries.tolist() == [1, 9]
    assert found.pieces.tolist() == [7, 5]
    assert found.votes.tolist() == pytest.approx([2 / 3, 2 / 3])
    with pytest.raises(ValueError, match=r"gallery_piece: torch\.float32"):
        evaluate.identify_by_votes(snippets, recording, gallery, piece.float())
    with pytest.raises(ValueError, match="gallery_z: 3 columns"):
        evaluate.identify_by_votes(snippets, recording, gallery[:, :3], piece)
