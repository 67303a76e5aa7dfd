"""What the methods of docs/source-systems.md reach on real series, and the figures of its items.

    python benchmarks/experiments/source_systems.py --data DIR                  # all; resumes
    python benchmarks/experiments/source_systems.py --data DIR --only data2vec robust --seeds 1
    python benchmarks/experiments/source_systems.py --write docs/source-systems.md  # no training
    python benchmarks/experiments/source_systems.py --list

DIR holds UWaveGestureLibrary.npz and UCI_HAR.npz. A record of the store is one seed of one item,
under the hash of its recipe: what is there is not measured again, what has another recipe is not
shown. Accuracies are of a linear probe of the encoder's last layer on the official test split.
Nothing is chosen by test rows: `validation` is accuracy over folds of the train rows.
"""

import argparse
import time
from pathlib import Path

import source_figures
import source_recipes
import source_table
import torch
from accuracy_recipes import SETS
from accuracy_store import Store
from source_recipes import Item

from tsssl_fast.data import Dataset, load

ITEMS = {item.name: item for item in (*source_recipes.METHOD_ITEMS, *source_figures.ITEMS)}
STORE = Path(__file__).parents[1] / "data" / "source_systems.json"


def measure(item: Item, seed: int, data: Dataset, store: Store) -> None:
    """One seed of an item, unless the store has it."""
    record = {
        "dataset": item.dataset,
        "method": item.name,
        "seed": seed,
        "recipe": item.digest(),
    }
    if store.has(record):
        return
    start, busy = time.perf_counter(), time.process_time()
    figures = item.run(data, dict(item.settings), seed)
    spent = {
        "seconds": round(time.perf_counter() - start, 1),
        "processor_seconds": round(time.process_time() - busy, 1),
    }
    figures = {name: round(float(value), 5) for name, value in figures.items()}
    store.add({**record, "figures": figures, **spent})
    shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    print(f"{item.name} {seed}: {shown}; {spent['processor_seconds']:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the .npz files")
    parser.add_argument("--only", nargs="+", choices=ITEMS, metavar="ITEM", help="see --list")
    parser.add_argument("--seeds", type=int, help="at most as many of each item")
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace its tables of figures")
    parser.add_argument("--list", action="store_true", help="items and their seeds")
    given = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(given.store)
    items = [ITEMS[name] for name in given.only] if given.only else list(ITEMS.values())
    if given.list:
        for item in items:
            print(f"{item.name:24} {item.dataset:6} {item.seeds} seeds  {item.title}")
    if given.data is not None:
        used = {item.dataset for item in items}
        sets = {name: load(given.data / f"{SETS[name]}.npz") for name in SETS if name in used}
        # Seed by seed: a run that ends early has something of every item.
        for seed in range(max(item.seeds for item in items)):
            for item in items:
                if seed < min(item.seeds, given.seeds or item.seeds):
                    measure(item, seed, sets[item.dataset], store)
    if given.write is not None:
        source_table.write(given.write, ITEMS.values(), store.read())


if __name__ == "__main__":
    main()
