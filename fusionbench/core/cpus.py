"""How many processor cores this process may use."""

from __future__ import annotations


def core_count() -> int:
    """Cores that this process may use, at least 1: CPU affinity and the limits of a container are respected.

    Works on every system: affinity is asked for only where the system has it.

    Example:
        >>> from fusionbench.core.cpus import core_count
        >>> core_count() >= 1
        True
    """
    from joblib import cpu_count  # slow to import

    return int(cpu_count())
