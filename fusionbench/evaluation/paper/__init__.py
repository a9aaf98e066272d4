"""The figures of a paper: fused images side by side, masked sets, learning curves, quality against cost."""
