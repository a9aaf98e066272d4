"""What holds for every verb, found by walking the group: a new verb is under these tests from when it is there."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fusionbench.cli import cli
from fusionbench.cli.options import Former
from tests.cli.runner import run

# What an option means wherever it is, and so its short form and what its help shows for a value. An option that two
# verbs have needs a line here; None: it has none (a flag), or one that each verb chooses from its own list.
MEANINGS: dict[str, tuple[str | None, str | None]] = {
    "--a": (None, "PATH"),  # the first source
    "--all": (None, None),  # also what is left out otherwise
    "--b": (None, "PATH"),
    "--backend": (None, None),
    "--budget": (None, "BUDGET"),  # cut training short
    "--colour": (None, None),  # of fused images
    "--columns": (None, "NAMES"),  # metrics of a row
    "--commit": (None, "COMMIT"),
    "--compile": (None, None),
    "--config": (None, "FILE"),
    "--data": ("-d", "SET"),  # one data set
    "--data-root": (None, "DIR"),  # where data sets lie
    "--device": (None, "DEVICE"),
    "--dpi": (None, "N"),
    "--event": (None, "FILE"),
    "--folder": (None, "DIR"),  # a clone of a leaderboard
    "--font": (None, None),
    "--font-size": (None, "POINTS"),
    "--force": (None, None),  # make it again
    "--fused": (None, "PATH"),
    "--height": (None, "INCHES"),
    "--index": (None, "N"),
    "--jobs": ("-j", "N"),  # at a time
    "--json": (None, None),
    "--keep-images": (None, None),
    "--level": (None, "SHARE"),  # of intervals
    "--limit": (None, "N"),  # only the first images
    "--memory": (None, "N"),  # most GiB
    "--metrics": (None, "NAMES"),
    "--models": ("-m", "NAMES"),
    "--note": (None, "TEXT"),
    "--option": (None, "KEY=VALUE"),
    "--out": ("-o", "PATH"),  # what is written, a file or a folder
    "--per-day": (None, "N"),
    "--plugin": (None, "FILE.py[:NAME]"),
    "--precision": (None, "FORM"),
    "--preset": ("-p", "PRESET"),
    "--quiet": ("-q", None),
    "--range-a": (None, "auto|full|14bit|LOW:HIGH|percentile:1,99"),
    "--range-b": (None, "auto|full|14bit|LOW:HIGH|percentile:1,99"),
    "--range-fused": (None, "auto|full|14bit|LOW:HIGH|percentile:1,99"),
    "--recipe": (None, "FILE"),
    "--remote": (None, "NAME"),
    "--resamples": (None, "N"),
    "--results": (None, "DIR"),  # a root of results that is read
    "--rows": (None, "NAMES"),
    "--runs": (None, "DIR"),  # root of training runs
    "--scheduler": (None, "ADDRESS"),
    "--seconds": (None, "N"),  # most time
    "--secret": (None, "FILE"),  # of a round
    "--seed": ("-s", "N"),  # of what is drawn
    "--set": (None, "KEY=VALUE"),
    "--sheet": (None, "FILE"),  # a PNG of pictures side by side
    "--sign": (None, "KEY"),
    "--signer": (None, "PUBLIC_KEY"),
    "--skip-refused": (None, None),
    "--source-dir": (None, "DIR"),  # upstream files
    "--split": (None, "SPLIT"),
    "--stop-after": (None, "TIME"),
    "--stretched": (None, None),
    "--strict": (None, None),  # refuse what is left out otherwise
    "--submitter": (None, "NAME"),
    "--suite": (None, "SUITE"),
    "--summary": (None, "FILE"),  # Markdown that is added to
    "--tiers": (None, None),
    "--title": (None, "TEXT"),
    "--total": (None, "N"),
    "--verbose": ("-v", None),
    "--weights": (None, "PATH"),
    "--width": (None, "single|double|INCHES"),
}


def leaves(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            for path, *rest in leaves(command, inner):
                yield f"{name} {path}", *rest  # type: ignore[misc]
        else:
            yield name, command, inner


ROOT = click.Context(cli, info_name="fusionbench", help_option_names=["-h", "--help"])
VERBS = {path: (command, context) for path, command, context in leaves(cli, ROOT)}
OPTIONS = {
    path: [option for option in command.get_params(context) if isinstance(option, click.Option)]
    for path, (command, context) in VERBS.items()
}


def long_name(option: click.Option) -> str:
    return max(option.opts, key=len)


def test_there_are_verbs_below_verbs() -> None:
    assert {"train", "recipe new", "community codabench"} <= VERBS.keys()


def test_one_name_has_one_meaning() -> None:
    forms, verbs = defaultdict(set), defaultdict(set)
    for verb, options in OPTIONS.items():
        _, context = VERBS[verb]
        for option in options:
            if isinstance(option, Former) or (option.hidden and long_name(option) not in MEANINGS):
                continue
            short = next((text for text in option.opts if len(text) == 2 and text[1] != "h"), None)
            plain = option.is_flag or isinstance(option.type, click.Choice)
            shown = None if plain and option.metavar is None else option.make_metavar(context)
            forms[long_name(option)].add((short, shown))
            verbs[long_name(option)].add(verb)
    unsaid = {name for name, found in verbs.items() if len(found) > 1} - MEANINGS.keys() - {"--help"}
    assert not unsaid, f"say in MEANINGS what {sorted(unsaid)} mean wherever they are"
    assert {name: found for name, found in forms.items() if name in MEANINGS and found != {MEANINGS[name]}} == {}


def test_one_letter_has_one_meaning() -> None:
    meant = defaultdict(set)
    for options in OPTIONS.values():
        for option in options:
            for text in option.opts:
                if len(text) == 2 and text != long_name(option):
                    meant[text].add(long_name(option))
    assert {text: names for text, names in meant.items() if len(names) > 1} == {}


def test_what_a_verb_writes_is_out() -> None:
    """No verb has another word for it."""
    for verb, options in OPTIONS.items():
        shown = {long_name(option) for option in options if not option.hidden}
        assert not shown & {"--output", "--outdir", "--out-dir", "--output-dir", "--dest", "--html", "--to-file"}, verb


@pytest.mark.parametrize("verb", VERBS)
def test_errors_are_one_json_object(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *verb.split(), "--json", "--no-such-option-anywhere")
    assert code == 2 and err.strip()
    (body,) = map(json.loads, out.splitlines())
    assert body.keys() == {"error"} and body["error"].keys() == {"type", "exit_code", "message", "details"}
    assert body["error"]["exit_code"] == 2 and body["error"]["type"] == "UsageError" and body["error"]["message"]


def test_without_json_stdout_has_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "describe", "vff")[:2] == (2, "")
    code, out, _ = run(capsys, "describe", "vff", "--json")
    message = "Unknown name 'vff'. Did you mean 'viff' or 'vif' or 'vifb'? See `fusionbench list`."
    assert code == 2 and json.loads(out)["error"]["message"] == message


def test_a_report_of_what_is_wrong_stays_the_only_document(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    code, out, err = run(capsys, "check", tmp_path / "bad.zip", "--json")
    assert code == 1 and json.loads(out)["ok"] is False and "1 problem" in err


def test_an_error_after_lines_of_json_is_one_more_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from fusionbench.cli.console import echo_marked, print_json_lines
    from fusionbench.core.errors import MeasurementError
    from fusionbench.evaluation import run_suite

    def fail(*args: object, **kwargs: object) -> None:
        print_json_lines()
        echo_marked('{"row": 1}')
        raise MeasurementError("1 of 2 rows failed")

    monkeypatch.setattr(run_suite, "run_suite", fail)
    code, out, _ = run(capsys, "run", "pairs-demo", "--json", "--out", tmp_path)
    first, last = map(json.loads, out.splitlines())
    assert code == 3 and first == {"row": 1} and last["error"]["type"] == "MeasurementError"
