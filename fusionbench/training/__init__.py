"""The training loop with its schedule, checkpoints and devices."""
