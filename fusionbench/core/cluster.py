"""Long tasks on a Dask cluster, each in a process of its own that the Dask worker starts.

A Dask worker cannot interrupt a task, and a crash in native code ends it with all that it runs. So the task runs in one
of our own workers (:mod:`fusionbench.core.workers`) beside it: it ends alone, with an exit code that says how, and when
the command is stopped or the Dask worker is gone it is asked to stop, which saves the state of a training. What was
running on a worker that is lost is given to another one.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fusionbench.core.errors import MeasurementError, UsageError
from fusionbench.core.interrupts import check_interrupt
from fusionbench.core.progress import say
from fusionbench.core.workers import TaskOutcome, run_in_workers

TRIES = 3  # of a task whose process was killed or stopped on its machine; Dask itself counts its workers that died
_STOPPED = (-9, -15, 130)  # exit codes: killed for memory or with its machine, stopped by a batch system
_POLL = 0.2  # seconds between looks at the cluster where nothing wakes us
_PATIENCE = 5.0  # seconds without workers until that is said
_GONE = 15.0  # seconds without the scheduler until it is given up


@contextlib.contextmanager
def dask_client(scheduler: str) -> Iterator[Any]:
    """A ``distributed.Client`` of the scheduler at this address (``tcp://host:8786``, ``tls://host:8786``).

    Raises:
        UsageError: no Dask, no scheduler there, or TLS without certificates.
    """
    try:
        import distributed
    except ImportError as error:
        raise UsageError("--scheduler needs Dask: pip install 'fusionbench[dask]'") from error
    try:
        client = distributed.Client(scheduler, timeout="10s")
    except TypeError as error:  # what Dask raises for tls:// without certificates
        raise UsageError(f"{scheduler}: {error}; docs/clusters.md says where Dask finds certificates") from error
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(f"{scheduler}: no Dask scheduler answers there; start one with `dask scheduler`") from error
    with client:
        yield client


def run_on_cluster(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], scheduler: str, *, logs: Callable[[int], Path]
) -> Generator[TaskOutcome, None, None]:
    """Outcomes of ``function(*task)`` as they come, in any order, as :func:`fusionbench.core.workers.run_in_workers`.

    A task of a lost worker, or whose own process was killed or stopped, starts anew elsewhere; after :data:`TRIES` its
    death is its outcome. Closing the generator stops what runs: it gets KeyboardInterrupt, as from Ctrl-C.

    Args:
        scheduler: address of a Dask scheduler.
        logs: file for what the process of a task prints, on the worker's machine.

    Raises:
        UsageError: as :func:`dask_client`.
        MeasurementError: the scheduler is gone.
    """
    import cloudpickle

    from fusionbench import __version__

    done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    token, tries = secrets.token_hex(4), dict.fromkeys(range(len(tasks)), 0)
    running: dict[int, Any] = {}

    with dask_client(scheduler) as client, _cancelling(client, running):

        def submit(index: int) -> None:
            body, log = cloudpickle.dumps((function, tasks[index])), str(logs(index).absolute())
            tries[index] += 1
            key = f"fusionbench-{token}-{index}-{tries[index]}"
            running[index] = client.submit(_run_here, body, log, __version__, key=key, pure=False)
            running[index].add_done_callback(lambda future: done.put((index, future)))

        for index in range(len(tasks)):
            submit(index)
        watch = _Watch(client, scheduler)
        while running:
            check_interrupt()
            watch.look()
            try:
                index, future = done.get(timeout=_POLL)
            except queue.Empty:
                continue
            outcome = _outcome(index, future, watch)
            del running[index]
            if outcome.death is not None and outcome.death.code in _STOPPED and tries[index] < TRIES:
                say(f"{logs(index).stem}: its process {outcome.death.text().partition(';')[0]}; it is tried again")
                submit(index)
            else:
                yield outcome


@contextlib.contextmanager
def _cancelling(client: Any, running: dict[int, Any]) -> Iterator[None]:
    try:
        yield
    finally:
        if running:
            with contextlib.suppress(Exception):  # the cluster may be gone
                client.cancel(list(running.values()), force=True)


class _Watch:
    """Says when the cluster has no workers, and gives up when its scheduler has gone."""

    def __init__(self, client: Any, scheduler: str) -> None:
        self.client, self.scheduler, self.told = client, scheduler, False
        self.answered = self.looked = time.monotonic()

    def look(self) -> None:
        """Look now and then.

        Raises:
            MeasurementError: the scheduler has been away for too long.
        """
        now = time.monotonic()
        if self.client.status != "running":
            if self.client.status == "closed" or now - self.answered > _GONE:
                raise self.gone()
            return
        self.answered = now
        if now - self.looked < _PATIENCE:
            return
        self.looked = now
        with contextlib.suppress(OSError, TimeoutError):  # it is going away just now
            if self.client.nthreads():
                self.told = False
            elif not self.told:
                self.told = True
                say(f"{self.scheduler}: no Dask worker is there yet; start one with `dask worker {self.scheduler}`")

    def gone(self) -> MeasurementError:
        """What to say when it is."""
        return MeasurementError(
            f"{self.scheduler}: the Dask scheduler is gone; what is finished is kept, the same command goes on"
        )


def _outcome(index: int, future: Any, watch: _Watch) -> TaskOutcome:
    """What the task came to, as seen from here.

    Raises:
        MeasurementError: it is lost with its scheduler.
    """
    if future.status not in ("finished", "error"):
        raise watch.gone()
    try:
        found: TaskOutcome = future.result()
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            text = "the Dask workers that had it died one after the other; their logs may say why (memory?)"
            return TaskOutcome(index, error=MeasurementError(text))
        return TaskOutcome(index, error=error)
    return replace(found, index=index)


def _run_here(body: bytes, log: str, version: str) -> TaskOutcome:
    """What a Dask worker runs: the pickled call ``body`` in a process of its own, until it ends or is not wanted."""
    from distributed import Reschedule, get_worker

    from fusionbench import __version__

    if version != __version__:
        text = f"the Dask worker has fusionbench {__version__}, this command is of {version}; install one version"
        return TaskOutcome(0, error=UsageError(text))
    worker = get_worker()
    key = worker.get_current_task()

    def unwanted() -> bool:
        task = worker.state.tasks.get(key)
        leaving = worker.status.name not in ("running", "paused")
        return leaving or task is None or task.state in ("cancelled", "resumed")

    # the nanny of a Dask worker sets one thread; a task has as many as its worker was started with
    threads = os.environ.get("OMP_NUM_THREADS", "")
    count = int(threads) if threads.isdecimal() and int(threads) else 1
    with contextlib.closing(
        run_in_workers(_call, [(body,)], 1, logs=lambda _: Path(log), threads=count, stopped=unwanted)
    ) as outcomes:
        for outcome in outcomes:
            return outcome
    raise Reschedule  # to another worker where this one leaves; nobody hears it where the command was stopped


def _call(body: bytes) -> Any:
    import cloudpickle

    function, arguments = cloudpickle.loads(body)
    return function(*arguments)
