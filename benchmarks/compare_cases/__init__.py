"""What `compare.py` measures: `catalogue` without the package's names, an adapter for each API."""
