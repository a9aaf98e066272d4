"""Shared fixtures: one torch thread, real data when it is there, golden files on request."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")


os.environ["FUSIONBENCH_CONFIG"] = ""  # settings of whoever runs the tests are none of theirs
for _variable in ("DATA_ROOT", "RESULTS_ROOT", "RUNS_ROOT", "DEVICE", "PRECISION", "JOBS", "PLUGINS"):
    os.environ.pop(f"FUSIONBENCH_{_variable}", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regen", action="store_true", help="rewrite tests/golden/*; review the diff")


def pytest_configure(config: pytest.Config) -> None:
    import torch

    torch.set_num_threads(int(os.environ.get("FUSIONBENCH_TEST_THREADS", "1")))


@pytest.fixture
def regen(request: pytest.FixtureRequest) -> bool:
    """True when golden numbers are to be rewritten instead of compared."""
    return bool(request.config.getoption("--regen"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; tests that ask for it are skipped where FUSIONBENCH_DATA is not set."""
    folder = os.environ.get("FUSIONBENCH_DATA")
    if not folder:
        pytest.skip("FUSIONBENCH_DATA names no folder of real data")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"FUSIONBENCH_DATA={folder}: no such folder")
    return path


@pytest.fixture(autouse=True)
def same_signal_handlers() -> Iterator[None]:
    """What a test leaves to listen to Ctrl-C or SIGTERM, as training with compiled blocks does, is not the next one's:
    one that sends the signal to itself would end the whole process."""
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.getsignal(name) for name in names}
    yield
    for name, handler in before.items():
        if handler is not None and signal.getsignal(name) is not handler:
            signal.signal(name, handler)
