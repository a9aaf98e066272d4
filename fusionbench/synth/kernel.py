"""Which code makes views on the CPU: NumPy's, or loops compiled by numba where that is installed (extra ``fast``).

Both make the same bits, so that a process may change from one to the other at any moment. By itself it does so
after ``WORTH`` values: importing numba takes half a second, which little work would never earn back. The environment
variable ``FUSIONBENCH_KERNEL`` is ``auto`` (the default), ``numpy`` or ``numba`` (at once, or an error).

Machine code is cached in the user's folder of caches (or where ``NUMBA_CACHE_DIR`` says); the first time on a machine
it is compiled for some seconds, by one process while others go on with NumPy. Before its first use it has to make a
known answer; where it does not, or cannot be had, NumPy does the work after one note.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from fusionbench.core.errors import UsageError
from fusionbench.core.progress import say

VARIABLE = "FUSIONBENCH_KERNEL"
CHOICES = ("auto", "numpy", "numba")
WORTH = 1 << 26  # values made by NumPy before the compiled code is loaded: a fifth of a second to a second of work
OLDEST = (0, 60)  # releases of numba from which on this is tested
# sha256 of what the functions of compiled.py make in `answer`; NumPy makes the same, see the tests
ANSWER = "6ad163b2be55058759e05adca9ef0de50e47c82cba8cc0d6a85f0d073364a434"
# Every filter of a metric asks for the variable, a hundred times for one small image, and os.environ takes a
# microsecond to say that it is not there; the dictionary behind it does not.
_ENVIRONMENT: dict[Any, Any] | None = getattr(os.environ, "_data", None)
_KEY: Any = os.environ.encodekey(VARIABLE)


@dataclass
class _State:
    made: int = 0  # values since the process started
    tried: bool = False
    module: ModuleType | None = None
    problem: str | None = None
    stored: Any = None  # the variable as the environment stores it
    choice: str = "auto"


_state = _State()
_loading = threading.Lock()


def choice() -> str:
    """What ``FUSIONBENCH_KERNEL`` asks for.

    Raises:
        UsageError: no such kernel.
    """
    stored = None if _ENVIRONMENT is None else _ENVIRONMENT.get(_KEY, "")
    if stored is not None and stored is _state.stored:
        return _state.choice
    chosen = os.environ.get(VARIABLE) or "auto"
    if chosen not in CHOICES:
        raise UsageError(f"{VARIABLE}={chosen}: no such kernel; set it to {', '.join(CHOICES[:-1])} or {CHOICES[-1]}")
    _state.choice = chosen  # first: other threads take it as soon as they see what is stored
    _state.stored = stored
    return chosen


def compiled(values: int) -> ModuleType | None:
    """The compiled functions (:mod:`fusionbench.synth.compiled`) for a caller about to make ``values`` values, or None.

    Raises:
        UsageError: ``FUSIONBENCH_KERNEL`` has no such value, or asks for numba where that cannot be used.
    """
    chosen = choice()
    if chosen == "numpy":
        return None
    _state.made += values
    if not _state.tried and (chosen == "numba" or _state.made > WORTH):
        _load(chosen)
    if chosen == "numba" and _state.module is None:
        raise UsageError(f"{VARIABLE}=numba: {_state.problem}; run `pip install 'fusionbench[fast]'` or set it to auto")
    return _state.module


def whole(array: np.ndarray) -> np.ndarray:
    """An array as compiled functions take it: a plain one, contiguous; copied only where it is not."""
    return np.asarray(np.ascontiguousarray(array))


def describe() -> tuple[str, str | None]:
    """The kernel that long work gets and why not the compiled one, if that is there and broken; loads it to find out.

    Raises:
        UsageError: as :func:`compiled`.
    """
    if (chosen := choice()) == "numpy":
        return f"NumPy ({VARIABLE}=numpy)", None
    if not installed():
        compiled(0)  # an error where numba is asked for
        return "NumPy; the extra `fast` (numba) makes views about twice as fast", None
    if not _state.tried:
        _load("numba")
    if compiled(0) is None:
        return "NumPy", _state.problem
    return f"numba {sys.modules['numba'].__version__}" + (", at once" if chosen == "numba" else ""), None


def installed() -> bool:
    """Whether there is a numba, usable or not; nothing is imported."""
    try:
        return importlib.util.find_spec("numba") is not None
    except (ImportError, ValueError):
        return False


def _load(chosen: str) -> None:
    """Import the compiled functions; what is wrong with them is a note where numba is there and not asked for."""
    if chosen == "numba":
        _loading.acquire()
    elif not _loading.acquire(blocking=False):
        return  # another thread does, and NumPy makes the same meanwhile
    try:
        if not _state.tried:
            _try_to_load(chosen)
    finally:
        _state.tried |= _state.module is not None or _state.problem is not None
        _loading.release()


def _try_to_load(chosen: str) -> None:
    if not installed():
        _state.problem = "numba is not installed"
        return
    try:
        _state.module = _import(wait=chosen == "numba")
    except Timeout:  # another process compiles, and this one has other things to do: it asks again later
        _state.made = 0
    except Exception as error:  # an installation can be broken in ways that nobody expects
        _state.problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        if chosen == "auto":
            say(f"note: numba cannot be used, NumPy makes the same views more slowly ({_state.problem})")


def _import(wait: bool = True) -> ModuleType:
    """The compiled functions, checked; one process compiles at a time, and others find it in the cache.

    Raises:
        Timeout: another process compiles, and ``wait`` is false.
    """
    module = import_compiled("fusionbench.synth.compiled", wait)
    if (found := answer(module)) != ANSWER:
        raise RuntimeError(f"numba {sys.modules['numba'].__version__} makes other views here (answer {found[:12]})")
    return module


def import_compiled(name: str, wait: bool = True) -> ModuleType:
    """A module of functions for numba, whose machine code is compiled by one process and cached for others.

    Raises:
        Timeout: another process compiles, and ``wait`` is false.
        RuntimeError: numba is too old, or the processor big-endian.
    """
    if sys.byteorder != "little":
        raise RuntimeError("the compiled code is for little-endian processors")
    import numba

    version = tuple(int(part) for part in numba.__version__.split(".")[:2] if part.isdigit())
    if version < OLDEST:
        raise RuntimeError(f"numba {numba.__version__} is older than {'.'.join(map(str, OLDEST))}")
    config: Any = numba.config
    before = config.CACHE_DIR
    folder = Path(before or cache_folder())
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "fusionbench.lock", timeout=-1 if wait else 0):
        config.CACHE_DIR = str(folder)  # functions get it when they are defined; those of others keep theirs
        try:
            return importlib.import_module(name)
        finally:
            config.CACHE_DIR = before


def cache_folder() -> Path:
    """Where machine code is cached: ``fusionbench/numba`` in the user's folder of caches."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("fusionbench", appauthor=False)) / "numba"


def answer(module: Any) -> str:
    """The sha256 of small things made by every function of ``module``, which has the functions of ``compiled``."""
    samples = np.array([0, 1, 5, 1 << 40], np.int64)
    view, epoch, none, key = np.uint64(1), np.uint64(3), np.uint64(0), (np.uint64(7), np.uint64((1 << 64) - 9))
    words = np.empty((4, 8), np.uint64)
    module.words(words, samples, view, epoch, none, *key)
    table = (np.arange(1 << 16) // 128 - 256).astype(np.int16)
    noise = np.empty((4, 50), np.int16)
    module.noise(noise, samples, view, epoch, *key, table)
    half = np.array([0, *(int(t**0.5) + 1 for t in range(200))], np.int32)
    discs = np.array([[[3, 4, 4, 200], [9, 9, 3, 380]], [[0, 11, 8, 128], [7, 2, 5, 256]]] * 2, np.int16)
    masks = np.empty((2, 4, 10, 12), np.uint8)
    for kind in (False, True):
        module.masks(masks[int(kind)], discs, half, kind)
    targets = (np.arange(4 * 10 * 12 * 3) * 89 % 251).astype(np.uint8).reshape(4, 10, 12, 3)
    views = np.empty((3, 4, 1, 10, 12, 3), np.uint8)
    for number, (kind, noisy) in enumerate(((False, True), (True, True), (False, False))):
        module.masked_views(views[number], targets, discs[:, None], samples, half, kind, noisy, table, epoch, *key)
    alpha = np.pad((np.arange(2 * 5 * 6) * 37 % 256).reshape(2, 5, 6, 1), ((0, 0), (2, 2), (2, 2), (0, 0)))
    bank = np.concatenate([alpha // 2, alpha // 3, alpha, alpha], 3).astype(np.uint8)
    sine = (np.arange(256) * 12345 % 32769 - 16384).astype(np.int32)
    params = np.array([[[2, 1, 4, 5, 30, 1, 1, 0, 8, 2, 200, -1, 0]], [[1, 0, 9, 0, 128, 0, 1, 1, 5, 5, 0, 0, 0]]] * 2)
    pasted = np.empty((4, 1, 10, 12, 3), np.uint8)
    right = module.pastes(pasted, targets, params.astype(np.int16), bank, sine)
    units = np.empty((2, 2, 3, 4), np.float32)
    module.unit_rows(units, np.arange(256, dtype=np.uint8), np.array([232, 3], np.int64))
    grey = np.empty((1, 1, 1, 256), np.float32)
    module.unit_rows(grey, np.arange(256, dtype=np.uint8), np.array([0], np.int64))
    made = (words, noise, masks, views, pasted, units, grey)
    return hashlib.sha256(b"".join(array.tobytes() for array in made) + bytes([right])).hexdigest()
