"""Protocols and suites: models and image files to results."""
