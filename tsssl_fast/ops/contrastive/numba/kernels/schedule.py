"""Which blocks of rows meet in which task, a function of their number alone.

One set: every block with itself, then a round-robin tournament, in which the blocks of a round do
not wait for each other; an odd one out has a task with nothing to do. Two sets: in round r block b
of the shorter side meets block b + r of the longer. Nothing is stored per task.
"""

# mypy: disable-error-code=no-untyped-def

import numpy as np

from tsssl_fast.backends.numba.compiling import part

MAX_BLOCK = 256  # rows; a tile of 256 x 256 floats is 256 KiB of L2
BEGIN, ROWS, TASK, BLOCK = range(4)  # columns of `groups`: first row, rows, first task, first block


def block_size(rows):
    """Few rows: small blocks, so that two or four threads find equal work."""
    target = 1 if rows <= 128 else (8 if rows <= 8 * MAX_BLOCK else 32)
    return min(max(16, ((rows + target - 1) // target + 15) // 16 * 16), MAX_BLOCK)


_block_size = part(block_size)


def block_count(rows: int) -> int:
    return -(-rows // block_size(rows))


def tasks_within(rows: int) -> int:
    blocks = block_count(rows)
    players = blocks + blocks % 2
    return blocks + (players - 1) * (players // 2) if blocks > 1 else blocks


def tasks_across(rows: int, columns: int) -> int:
    return block_count(rows) * block_count(columns)


def layout(begin: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, int, int, int]:
    """(G, 4) groups, the number of tasks and of blocks, and the rows of the largest block, for
    problems of one set each."""
    sizes, index = np.unique(rows, return_inverse=True)
    tasks = np.array([tasks_within(int(n)) for n in sizes])[index]
    blocks = np.array([block_count(int(n)) for n in sizes])[index]
    columns = (begin, rows, np.cumsum(tasks) - tasks, np.cumsum(blocks) - blocks)
    # Of all sizes: 128 rows are one block, 129 rows five of 32.
    largest = max(block_size(int(n)) for n in sizes)
    groups = np.stack(columns, axis=1).astype(np.int64)
    return groups, int(tasks.sum()), int(blocks.sum()), largest


@part
def _turn_of_longer(block, turn, shorter, longer):
    """How often a block of the longer side has met others before round `turn`."""
    before = max(0, min(turn - 1, block) - max(0, block - shorter + 1) + 1)
    return before + max(0, turn - 1 - max(block + 1, longer + block - shorter + 1) + 1)


@part
def _within(count, task):
    """Blocks a <= b and their common turn; b == count: nobody to meet."""
    if task < count:
        return task, task, 0
    last = count + count % 2 - 1
    turn, k = (task - count) // ((last + 1) // 2), (task - count) % ((last + 1) // 2)
    a = last if k == 0 else (turn + k) % last
    b = turn if k == 0 else (turn - k) % last
    return min(a, b), max(a, b), turn + 1


@part
def meeting(groups, columns, task):
    """(rows from, to, columns from, to), the two blocks and their turns; columns: of two sets, or
    0."""
    low, high = 0, len(groups)
    while high - low > 1:
        middle = (low + high) // 2
        if groups[middle, TASK] <= task:
            low = middle
        else:
            high = middle
    begin, rows, first = groups[low, BEGIN], groups[low, ROWS], groups[low, BLOCK]
    size = _block_size(rows)
    count = (rows + size - 1) // size
    if columns == 0:
        a, b, turn = _within(count, task - groups[low, TASK])
        i, j = begin + a * size, begin + min(b, count - 1) * size
        end = begin + rows
        window = (i, min(i + size, end), j, min(j + size, end))
        return window, first + a, first + b if b < count else -1, turn, turn
    width = _block_size(columns)
    other = (columns + width - 1) // width
    shorter, longer = min(count, other), max(count, other)
    turn, x = task // shorter, task % shorter
    y = (x + turn) % longer
    met = _turn_of_longer(y, turn, shorter, longer)
    a, b = (x, y) if count <= other else (y, x)
    turns = (turn, met) if count <= other else (met, turn)
    window = (a * size, min(a * size + size, rows), b * width, min(b * width + width, columns))
    return window, a, count + b, turns[0], turns[1]
