"""Where work is done: on this machine unless a Dask scheduler is named."""

from __future__ import annotations

import pytest

from fusionbench.cli.cluster_options import choose_scheduler
from fusionbench.core.errors import UsageError
from tests.cli.runner import run

ADDRESS = "tcp://host:8786"


@pytest.mark.parametrize(
    ("backend", "scheduler", "expected"),
    [(None, None, None), ("local", None, None), (None, ADDRESS, ADDRESS), ("dask", ADDRESS, ADDRESS)],
)
def test_the_scheduler_decides(backend: str | None, scheduler: str | None, expected: str | None) -> None:
    assert choose_scheduler(backend, scheduler) == expected


def test_contradictions() -> None:
    with pytest.raises(UsageError, match="--scheduler belongs to --backend dask"):
        choose_scheduler("local", ADDRESS)


def test_dask_s_own_configuration() -> None:
    dask = pytest.importorskip("dask")
    with dask.config.set({"scheduler-address": ADDRESS}):
        assert choose_scheduler("dask", None) == ADDRESS
        assert choose_scheduler(None, None) is None, "only where it is asked for"
    with pytest.raises(UsageError, match="--backend dask needs the scheduler's address"):
        choose_scheduler("dask", None)


@pytest.mark.parametrize("verb", ["run", "score", "evaluate"])
def test_help_has_both_options_and_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(capsys, verb, "--help")
    stdout = " ".join(stdout.split())  # as if no line were broken
    assert code == 0 and "--backend [local|dask]" in stdout and "--scheduler ADDRESS" in stdout
    example = next(line for line in stdout.split("Example: ") if "--scheduler tcp://" in line)
    assert example.startswith(f"fusionbench {verb} ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["score", "--a", "a", "--b", "b", "--fused", "f", "--jobs", "2", "--scheduler", ADDRESS],
            "--jobs are threads",
        ),
        (
            ["score", "--a", "a", "--b", "b", "--fused", "f", "--suite", "x", "--scheduler", ADDRESS],
            "--suite is scored",
        ),
        (["run", "quickstart", "--jobs", "2", "--scheduler", ADDRESS], "leave them out with a Dask scheduler"),
        (["run", "quickstart", "--backend", "local", "--scheduler", ADDRESS], "belongs to --backend dask"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, stdout, stderr = run(capsys, *words)
    assert (code, stdout) == (2, "") and message in stderr and stderr.count("\n") == 1
