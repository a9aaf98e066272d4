"""Loops of slow metrics compiled by numba, where the extra ``fast`` is installed: the same bits in less time.

As in :mod:`fusionbench.synth.kernel`, whose rules and whose environment variable ``FUSIONBENCH_KERNEL`` hold here, too:
a process changes to compiled code by itself once it has computed enough without, and before that the compiled code has
to give the values of the code that it replaces.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from filelock import Timeout

from fusionbench.core.errors import UsageError
from fusionbench.core.progress import say
from fusionbench.synth import kernel

WORTH = 0.5  # seconds of work without compiled code, after which it is loaded: about what the import takes


class Loops:
    """The compiled functions of a metric: ``module`` by name, and ``agrees``, which compares its values to NumPy's.

    ``metric`` names in messages what is computed.
    """

    def __init__(self, metric: str, module: str, agrees: Callable[[ModuleType], bool]) -> None:
        self._metric, self._name, self._agrees = metric, module, agrees
        self._spent, self._tried = 0.0, False
        self._module: ModuleType | None = None
        self._problem: str | None = None

    def compiled(self, seconds: float) -> ModuleType | None:
        """The functions for a caller whose work would take about ``seconds`` without them, or None.

        Raises:
            UsageError: ``FUSIONBENCH_KERNEL`` has no such value, or asks for numba where that cannot be used.
        """
        chosen = kernel.choice()
        if chosen == "numpy":
            return None
        self._spent += seconds
        if not self._tried and (chosen == "numba" or self._spent > WORTH):
            self._load(chosen)
        if chosen == "numba" and self._module is None:
            raise UsageError(
                f"{kernel.VARIABLE}=numba: {self._problem}; run `pip install 'fusionbench[fast]'` or set it to auto"
            )
        return self._module

    def _load(self, chosen: str) -> None:
        self._tried = True
        if not kernel.installed():
            self._problem = "numba is not installed"
            return
        try:
            module = kernel.import_compiled(self._name, wait=chosen == "numba")
            if not self._agrees(module):
                raise RuntimeError("the compiled code gives other values here")
            self._module = module
        except Timeout:  # another process compiles, and this one has other things to do: it asks again later
            self._tried, self._spent = False, 0.0
        except Exception as error:  # an installation can be broken in ways that nobody expects
            self._problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            if chosen == "auto":
                say(f"note: numba cannot be used, NumPy computes {self._metric} more slowly ({self._problem})")
