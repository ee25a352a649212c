"""What predicts heats: programs, or files that only record them."""
