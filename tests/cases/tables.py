"""Tables as people have them."""

import numpy as np


def long_table(series=6, steps=8, separator=","):
    """Two channels with a number of the subject and a clock in seconds; labels a and b."""
    rng = np.random.default_rng(0)
    lines = [separator.join(("series", "subject", "time_s", "gx", "gy", "label"))]
    for number in range(series):
        for step in range(steps):
            x, y = rng.normal(size=2).round(3)
            row = (f"r{number}", number // 2 + 1, step / 25, x, y, "ab"[number % 2])
            lines.append(separator.join(map(str, row)))
    return "\n".join(lines) + "\n"
