"""Imported for its effect: the modules of the folder above can be imported by their names."""

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))
