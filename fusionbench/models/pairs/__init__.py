"""Networks that fuse registered pairs."""
