"""The decorrelation losses as functions; `tsssl_fast.functional` has them.

Every function takes `backend=`: "reference", "cpp", "numba" or "triton"; None chooses the fastest
that can run the inputs (see tsssl_fast.explain). Where published codes differ, each one's scaling
is a `convention` with a name; ops/decorrelation/README.md has the table.
"""
