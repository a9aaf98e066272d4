"""What the logs of trainings in other processes say of their progress."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.evaluation.row_progress import _last_row

HEAD = "step,epoch,name,value\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD, (0, "")),
        (HEAD + "10,0.1,loss,5.25\n10,0.1,lr,0.01\n20,0.2,loss,4.123456\n20,0.2,lr,0.01\n", (20, "4.123")),
        (HEAD + "10,0.1,critic/loss,2\n20,0.2,lo", (10, "2")),  # a line that is being written
        (HEAD + "x" * 5000 + "\n30,0.3,loss,1\n", (30, "1")),
    ],
)
def test_the_last_loss_in_a_log(text: str, expected: tuple[int, str], tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(text)
    assert _last_row(tmp_path) == expected


def test_a_run_that_has_not_begun(tmp_path: Path) -> None:
    assert _last_row(tmp_path) == (0, "")
