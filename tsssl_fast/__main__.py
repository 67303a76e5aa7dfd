"""`python -m tsssl_fast`: the command line."""

from tsssl_fast.cli import main

main()
