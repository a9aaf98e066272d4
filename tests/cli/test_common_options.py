"""What every verb takes: the same options, before and after its name, and a line about them in its help."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.cli.common_options import NOTE
from tests.cli.runner import run
from tests.cli.test_options import OPTIONS, VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_what_all_take(verb: str) -> None:
    flags = {text for option in OPTIONS[verb] for text in option.opts}
    assert {"--json", "-q", "--quiet", "-v", "--verbose", "--config", "--plugin", "--help", "-h"} <= flags
    json_option = next(option for option in OPTIONS[verb] if "--json" in option.opts)
    assert json_option.is_flag
    assert json_option.help


def test_the_note_at_the_end_of_every_help() -> None:
    for verb, (command, _) in VERBS.items():
        assert (command.epilog or "").endswith(NOTE), verb


def test_quiet_and_verbose_before_and_after_the_verb(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = run(capsys, "migrate", tmp_path, "--dry-run")[2]
    assert "files" in said
    for words in (["-q", "migrate", tmp_path, "--dry-run"], ["migrate", tmp_path, "--dry-run", "-q"]):
        assert run(capsys, *words) == (0, "", "")
    for words in (["-v", "describe", "vff"], ["describe", "vff", "-v"]):
        assert "Traceback" in run(capsys, *words)[2]
    assert "Traceback" not in run(capsys, "describe", "vff")[2]


def test_a_mistyped_option_suggests_none_that_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "check", "x.py", "--set", "w=0.3")
    assert code == 2 and "No such option" in err and "_settings" not in err
    code, _, err = run(capsys, "check", "x.py", "--quie")
    assert code == 2 and "--quiet" in err
    assert run(capsys, "check", "x.py", "--_settings")[0] == 2
