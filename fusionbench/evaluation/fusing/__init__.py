"""Fusing a user's own images: folders, files, arrays and videos."""
