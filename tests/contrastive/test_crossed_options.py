"""Every option of `contrastive_loss` with every other: values, statistics and gradients of random
small problems against the formula in plain arrays.

The Triton kernels have theirs in tests/interpreter. All draws on every backend: all_draws.py.
"""

from collections import Counter
from functools import cache
from itertools import combinations

import pytest
from contrastive import crossed, draws

from tsssl_fast.ops.contrastive import spec

CHUNKS = 20
COUNTS = {"reference": draws.DRAWS, "cpp": draws.DRAWS, "numba": 1000}
LEAST = 30  # draws of every pair of options


@cache
def checked(backend: str, chunk: int) -> crossed.Rounded:
    indices = range(chunk, COUNTS[backend], CHUNKS)
    return crossed.check(map(crossed.expected_at, indices), backend)


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("backend", COUNTS)
def test_draws(backend: str, chunk: int) -> None:
    checked(backend, chunk)


def test_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a row or two: what no kernel takes runs in blocks, which small problems do not fill."""
    monkeypatch.setattr(spec, "BLOCK_ELEMENTS", 10)
    crossed.check(map(crossed.expected_at, range(7, draws.DRAWS, CHUNKS)), "reference")


@pytest.mark.parametrize("backend", COUNTS)
def test_rounding(backend: str) -> None:
    rounded = [result for chunk in range(CHUNKS) for result in checked(backend, chunk)]
    assert rounded
    crossed.accept_rounded(backend, rounded)


def test_every_pair_of_options_is_drawn() -> None:
    sets, redrawn = draws.option_sets()
    assert len(sets) == draws.DRAWS
    assert {len(options) for options in sets} == set(draws.SIZES)
    seen = Counter(frozenset(pair) for options in sets for pair in combinations(options, 2))
    missing = [tuple(pair) for pair in draws.pairs() if seen[pair] < LEAST]
    assert not missing
    assert not draws.UNDEFINED & seen.keys()
    print(f"{min(seen.values())} draws of the rarest pair, {redrawn} drawn again")
    assert redrawn > 0
    with_others = {frozenset(x) for x in combinations(draws.OPTIONS, 2)} - set(draws.pairs())
    for one, other in with_others - draws.UNDEFINED:
        assert draws.OPTIONS[one] == draws.OPTIONS[other], "only one argument excludes itself"


def test_every_option_is_drawn_with_one_set_and_with_two() -> None:
    made = [draws.make(i) for i in range(draws.DRAWS)]
    for two in (False, True):
        seen = Counter(x for d in made for x in d.options if (d.arguments["k"] is not None) == two)
        alone = {"symmetric"} if not two else set()
        assert min(seen[name] for name in draws.OPTIONS.keys() - alone) >= LEAST
    kinds = Counter(d.dtype for d in made)
    assert min(kinds.values()) >= 5 * LEAST
    assert kinds.most_common(1)[0][0].itemsize == 8
    leaves = Counter(x for d in made for x in d.leaves)
    assert min(leaves.values()) >= LEAST
    assert len(leaves) == 9
