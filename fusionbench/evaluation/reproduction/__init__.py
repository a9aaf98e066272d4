"""Results made again from what they say about themselves, and compared: ``fusionbench reproduce``."""
