"""What everything may import: argument checks and random numbers."""
