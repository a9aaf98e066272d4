"""The limit of open files is raised as far as it has to be, and no further. Oracle: files that are opened."""

from __future__ import annotations

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource")

CODE = """
import resource, sys
from fusionbench.core.open_files import allow_open_files
soft, hard, more = (int(text) for text in sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
try:
    allow_open_files(more, "digits")
except Exception as error:
    print(type(error).__name__, error)
else:
    files = [open(sys.executable, "rb") for _ in range(more)]
    print(len(files), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def answer(soft: int, hard: int, more: int) -> str:
    command = [sys.executable, "-c", CODE, *(str(number) for number in (soft, hard, more))]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_limit_that_is_high_enough_stays() -> None:
    assert answer(500, 500, 100) == "100 500"


def test_a_low_one_is_raised() -> None:
    opened, limit = answer(128, 2000, 1000).split()
    assert opened == "1000" and 1064 <= int(limit) < 1200


def test_what_the_system_forbids_is_one_line_with_the_remedy() -> None:
    found = answer(128, 256, 1000)
    said = "DataError digits: 1000 files have to be open at once, the limit is 128; raise it: ulimit -n 1"
    assert found.startswith(said)
