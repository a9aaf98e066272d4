"""The server of commands, one for each file of tests that runs examples of documents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.fork_server import ForkServer


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    server = ForkServer(tmp_path_factory.mktemp("commands"))
    yield server
    server.close()
