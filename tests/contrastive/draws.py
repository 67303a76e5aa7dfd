"""Small random problems for `contrastive_loss` that turn on every option with every other.

`make(i)` is draw i: the same numbers on every machine. Which options it turns on comes from a list
that is balanced over pairs of options; their values come from the draw's own seed.
"""

import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

DRAWS = 5000
SIZES, SIZE_WEIGHTS = (1, 2, 3, 4, 5), (1, 2, 3, 4, 5)  # how many options a draw turns on

# Every option, and the argument it sets: two of one argument exclude each other.
OPTIONS = {
    "tau learnable": "temperature",
    "tau by query": "temperature",
    "tau by relation": "temperature",
    "tau of the same group": "temperature",
    "log_sum": "positives",
    "decoupled": "denominator",
    "own_positive": "denominator",
    "exclude_same": "groups",
    "only_same": "groups",
    "valid": "valid",
    "pair_mask": "pair_mask",
    "pair_weight": "pair_weight",
    "CSR pair_weight": "pair_weight",
    "negatives": "negatives",
    "query_keys": "query_keys",
    "query_weight": "query_weight",
    "targets": "targets",
    "CSR targets": "targets",
    "hardness": "hardness",
    "debias": "debias",
    "dot product": "normalize",
    "symmetric": "symmetric",
    "mean": "reduction",
    "mean over positives": "reduction",
    "sum": "reduction",
    "statistics": "return_stats",
}
# The pairs of dense.UNDEFINED that two options can touch; the others' second is no option here.
UNDEFINED = {
    frozenset(x)
    for x in (("own_positive", "log_sum"), ("targets", "log_sum"), ("CSR targets", "log_sum"))
}


class Relation(NamedTuple):
    """Temperature by relation, as PairTemperature."""

    positive: float | Tensor
    negative: float | Tensor
    same_group: float | Tensor | None = None


class Draw(NamedTuple):
    index: int
    options: tuple[str, ...]
    dtype: torch.dtype
    arguments: dict[str, Any]
    leaves: tuple[str, ...]  # arguments that get gradients; "temperature.positive" and so on
    upstream: int  # seed of the upstream gradient

    def __str__(self) -> str:
        k = self.arguments["k"]
        sides = f"{tuple(self.arguments['q'].shape)} x {None if k is None else tuple(k.shape)}"
        return f"draw {self.index}: {', '.join(self.options)}; {sides}, {self.dtype}"


def pairs() -> list[frozenset[str]]:
    """Pairs of options that can stand together."""
    return [
        frozenset(pair)
        for pair in combinations(OPTIONS, 2)
        if OPTIONS[pair[0]] != OPTIONS[pair[1]] and frozenset(pair) not in UNDEFINED
    ]


@cache
def option_sets(count: int = DRAWS) -> tuple[list[tuple[str, ...]], int]:
    """The options of every draw, and how many were drawn again because they touch UNDEFINED.

    Each draw of two and more starts with a pair that fewest draws before it have.
    """
    rng, seen, out, redrawn = random.Random(0), Counter(dict.fromkeys(pairs(), 0)), [], 0
    order = list(OPTIONS)
    while len(out) < count:
        size = rng.choices(SIZES, SIZE_WEIGHTS)[0]
        least = min(seen.values())
        first = rng.choice([pair for pair, n in seen.items() if n == least])
        chosen = set(first) if size > 1 else {rng.choice(order)}
        while len(chosen) < size:
            name = rng.choice(order)
            if OPTIONS[name] not in {OPTIONS[x] for x in chosen}:
                chosen.add(name)
        found = [frozenset(pair) for pair in combinations(sorted(chosen, key=order.index), 2)]
        if any(pair in UNDEFINED for pair in found):
            redrawn += 1
            continue
        seen.update(found)
        out.append(tuple(sorted(chosen, key=order.index)))
    return out, redrawn


def make(index: int, dtype: torch.dtype | None = None) -> Draw:
    """Draw `index`, in `dtype` or one of its own."""
    return _Maker(index, dtype).draw()


def keywords(arguments: dict[str, Any], relation: Callable[..., Any]) -> dict[str, Any]:
    """The package's keyword arguments; `relation` is its PairTemperature."""
    tau = arguments.get("temperature")
    return arguments | ({"temperature": relation(*tau)} if isinstance(tau, Relation) else {})


class _Maker:
    def __init__(self, index: int, dtype: torch.dtype | None) -> None:
        self.index = index
        self.options = option_sets()[0][index]
        self.random = random.Random(index)
        self.numbers = torch.Generator().manual_seed(index)
        kinds = (torch.float64, torch.float32, torch.bfloat16)
        own = self.random.choices(kinds, (16, 3, 1))[0]
        self.dtype = own if dtype is None else dtype
        self.two = self.random.random() < 0.5 or "symmetric" in self.options
        self.m = self.random.choices(range(1, 8), (1, 1, 2, 3, 3, 3, 3))[0]
        self.p = self.random.choices(range(1, 8), (1, 1, 2, 3, 3, 3, 3))[0] if self.two else self.m
        # Unit rows of one column are 1 and -1. Their gradient is rounding alone, which float64 can
        # tell from zero; and debiased negatives all at -1 are at the corner of their floor.
        one = self.dtype == own == torch.float64 and "debias" not in self.options
        self.dim = self.random.choice((1, 2, 3, 4, 5) if one else (2, 3, 4, 5))
        self.arguments: dict[str, Any] = {}

    def on(self, *names: str) -> bool:
        return any(name in self.options for name in names)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def normal(self, *shape: int) -> Tensor:
        """Rows in the draw's dtype; now and then one is zero, or equals its neighbour."""
        x = torch.randn(shape, generator=self.numbers, dtype=torch.float64)
        if x.numel() and self.chance(0.08):
            x[self.random.randrange(len(x))] = 0
        elif len(x) > 1 and x.numel() and self.chance(0.05):
            x[0] = x[1]
        return x.to(self.dtype)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        x = torch.rand(shape, generator=self.numbers, dtype=torch.float64)
        return (low + (high - low) * x).to(self.plain_dtype)

    @property
    def plain_dtype(self) -> torch.dtype:
        return torch.float32 if self.dtype == torch.bfloat16 else self.dtype

    def flags(self, *shape: int, share: float = 0.7) -> Tensor:
        return torch.rand(shape, generator=self.numbers) < share

    def integers(self, count: int, *sizes: int) -> list[Tensor]:
        """The same few values on every side, at times far from 0, at times 32 bits."""
        start = self.random.choice((0, 0, -2, 2**40))
        dtype = torch.int32 if start == 0 and self.chance(0.2) else torch.int64
        return [
            (torch.randint(count, (n,), generator=self.numbers) + start).to(dtype) for n in sizes
        ]

    def draw(self) -> Draw:
        a = self.arguments
        a["q"], a["k"] = self.normal(self.m, self.dim), None
        if self.two:
            a["k"] = self.normal(self.p, self.dim)
        self.rows()
        self.matrices()
        self.further_keys()
        self.settings()
        a["temperature"] = self.temperature()
        return Draw(
            self.index, self.options, self.dtype, a, self.leaves(), self.random.randrange(2**31)
        )

    def sides(self, name: str, values: list[Tensor]) -> None:
        for side, x in zip("qk", values, strict=False):
            self.arguments[f"{side}_{name}"] = x

    def rows(self) -> None:
        """ids, groups, flags and weights of rows."""
        sizes = (self.m, self.p) if self.two else (self.m,)
        if not self.on("targets", "CSR targets"):
            count = self.random.choices((1, 2, 3, 4, 100), (1, 6, 6, 3, 1))[0]
            self.sides("ids", self.integers(count, *sizes))
        if self.on("exclude_same", "only_same", "tau of the same group"):
            self.sides("groups", self.integers(self.random.choice((1, 2, 2, 3)), *sizes))
            names = ("exclude_same", "only_same", "none")
            self.arguments["groups"] = next(n for n in names if n == "none" or self.on(n))
        if self.on("valid"):
            flags = [self.flags(n) for n in sizes]
            self.sides("valid", flags)
            for side, x in zip("qk", flags, strict=False):
                self.arguments[side][~x] = torch.nan
            if self.two and self.chance(0.3):  # one side alone
                side = self.random.choice("qk")
                del self.arguments[f"{side}_valid"]
                self.arguments[side] = self.normal(*self.arguments[side].shape)
        if self.on("query_weight"):
            rows = self.m + (self.p if self.on("symmetric") else 0)
            self.arguments["query_weight"] = self.uniform(rows) * self.flags(rows, share=0.9)

    def matrices(self) -> None:
        """(M, P) arrays."""
        a, shape = self.arguments, (self.m, self.p)
        if self.on("pair_mask"):
            a["pair_mask"] = self.flags(*shape, share=self.random.choice((0.0, 0.5, 0.8, 0.8)))
        if self.on("pair_weight", "CSR pair_weight"):
            share = 0.6 if self.on("CSR pair_weight") else self.random.choice((1.0, 0.85))
            weight = self.uniform(*shape, low=0.05, high=2.0) * self.flags(*shape, share=share)
            a["pair_weight"] = weight.to_sparse_csr() if self.on("CSR pair_weight") else weight
        if self.on("targets", "CSR targets"):
            target = self.uniform(*shape, low=0.05)
            target = target * self.flags(*shape, share=self.random.choice((1.0, 0.5, 0.3)))
            if self.chance(0.5):
                target = target / target.sum(dim=1, keepdim=True).clamp_min(0.05)
            a["targets"] = target.to_sparse_csr() if self.on("CSR targets") else target

    def further_keys(self) -> None:
        a = self.arguments
        if self.on("negatives"):
            a["negatives"] = self.normal(self.random.choice((1, 2, 3, 4)), self.dim)
            if self.chance(0.6):
                a["negatives_valid"] = self.flags(len(a["negatives"]))
                a["negatives"][~a["negatives_valid"]] = torch.nan
        if self.on("query_keys"):
            a["query_keys"] = self.normal(self.m, self.random.choice((0, 1, 2, 3)), self.dim)
            if self.chance(0.6):
                a["query_keys_valid"] = self.flags(*a["query_keys"].shape[:2])
                a["query_keys"][~a["query_keys_valid"]] = torch.nan

    def settings(self) -> None:
        a, on = self.arguments, self.on
        a["positives"] = "log_sum" if on("log_sum") else "mean_log"
        a["denominator"] = "negatives" if on("decoupled") else "all"
        if on("own_positive"):
            a["denominator"] = "own_positive"
        if on("hardness"):
            a["hardness"] = self.random.choice((0.3, 0.8, 1.5))
        if on("debias"):
            a["debias"] = self.random.choice((0.05, 0.2, 0.6))
        a["normalize"], a["symmetric"] = not on("dot product"), on("symmetric")
        if on("statistics"):
            a["return_stats"], a["top_k"] = True, self.random.choice((1, 2, 3, 5))
        a["reduction"] = "sum" if on("sum") else "none"
        if on("mean", "mean over positives"):
            a["reduction"] = "mean"
            a["mean_over"] = "with_positive" if on("mean over positives") else "all"

    def tau(self) -> float:
        """On both sides of where the kernels keep maxima of rows; the floor of debiased negatives,
        exp(-1 / tau), and dot products ask for more."""
        few = (0.25, 0.5, 1.0, 1.5)
        if self.on("debias"):
            return self.random.choice(few)
        if self.on("dot product"):
            return self.random.choice((0.1, *few))
        return self.random.choice((0.003, 0.02, 0.07, 0.1, 0.2, *few))

    def temperature(self) -> Any:
        if self.on("tau learnable"):
            return torch.tensor(self.tau(), dtype=self.plain_dtype)
        if self.on("tau by query"):
            return torch.tensor([self.tau() for _ in range(self.m)], dtype=self.plain_dtype)
        if not self.on("tau by relation", "tau of the same group"):
            return self.tau()
        taus: list[Any] = [self.tau() for _ in range(3 if self.on("tau of the same group") else 2)]
        kind = self.random.choice(("floats", "tensors", "mixed"))
        for i, tau in enumerate(taus):
            if kind == "tensors" or (kind == "mixed" and self.chance(0.5)):
                taus[i] = torch.tensor(tau, dtype=self.plain_dtype)
        return Relation(*taus)

    def leaves(self) -> tuple[str, ...]:
        """q always; other tensors mostly, because keys without gradient have their own kernel."""
        a = self.arguments
        out = ["q"]
        out += [n for n in ("k", "negatives", "query_keys") if a.get(n) is not None]
        if self.on("targets"):
            out.append("targets")
        out = out[:1] + [name for name in out[1:] if self.chance(0.6)]
        tau = a["temperature"]
        if isinstance(tau, Tensor):
            out.append("temperature")
        if isinstance(tau, Relation):
            out += [
                f"temperature.{n}"
                for n, x in zip(tau._fields, tau, strict=True)
                if isinstance(x, Tensor)
            ]
        return tuple(out)
