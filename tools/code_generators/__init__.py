"""Source files that are written by programs, from what the package declares."""
