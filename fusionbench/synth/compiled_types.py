"""What all loops for numba are compiled with: their options, and the types of the arrays that they take.

Imported by modules of such loops alone, where numba is installed.
"""

from __future__ import annotations

from typing import Any

from numba import types

# Without the interpreter's lock; machine code is cached; a division by 0 is NumPy's
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "boundscheck": False}


def made(dimensions: int, dtype: Any = types.float64) -> Any:
    """Type of an array that a function fills."""
    return types.Array(dtype, dimensions, "C")


def given(dimensions: int, dtype: Any = types.float64) -> Any:
    """Type of an array that a function reads; memory maps and constant tables are read-only."""
    return types.Array(dtype, dimensions, "C", readonly=True)
