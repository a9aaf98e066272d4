"""The options ``--backend`` and ``--scheduler``: work on this machine, or on the workers of a Dask cluster."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from fusionbench.core.errors import UsageError
from fusionbench.core.plugin_files import plugin_files


def cluster_options(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command with both options; it gets the ``scheduler``'s address, or None for this machine.

    Args:
        what: what is done there, for the help: "Score".
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def chosen(*args: Any, backend: str | None, scheduler: str | None, **given: Any) -> Any:
            return command(*args, scheduler=choose_scheduler(backend, scheduler), **given)

        with_address = click.option(
            "--scheduler", metavar="ADDRESS", help=f"{what} on a Dask cluster: tcp://host:8786, see docs/clusters.md."
        )(chosen)
        return click.option(
            "--backend",
            type=click.Choice(["local", "dask"]),
            help="Where to work [dask with --scheduler, else local].",
        )(with_address)

    return decorate


def choose_scheduler(backend: str | None, scheduler: str | None) -> str | None:
    """The address of the Dask scheduler to use; None: work on this machine.

    ``dask`` without an address takes that of Dask's own configuration (``DASK_SCHEDULER_ADDRESS``).

    Raises:
        UsageError: the options contradict each other, or no address is known.
    """
    if backend == "local" and scheduler is not None:
        raise UsageError("--scheduler belongs to --backend dask: leave out one of them")
    if (backend == "dask" or scheduler is not None) and plugin_files():
        raise UsageError("workers of a cluster have no Python files of yours: install them as a package, or stay here")
    if backend != "dask" or scheduler is not None:
        return scheduler
    try:
        import dask
    except ImportError as error:
        raise UsageError("--backend dask needs Dask: pip install 'fusionbench[dask]'") from error
    if (found := dask.config.get("scheduler-address", None)) is None:
        raise UsageError("--backend dask needs the scheduler's address: --scheduler tcp://host:8786")
    return str(found)
