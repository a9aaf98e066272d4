"""Folder of results in, folder of static pages out."""

from __future__ import annotations

from fusionbench.board.build import build_board

__all__ = ["build_board"]
