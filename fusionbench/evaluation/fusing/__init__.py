"""Fusing images with any method: one pair in Python, and folders of pairs."""
