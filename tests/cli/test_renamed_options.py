"""Former spellings of options: they do what they did, on one line, and are in no help."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from fusionbench.cli.evaluate import evaluate_command
from fusionbench.cli.options import Former, Option
from fusionbench.cli.renamed_options import keep_images_option
from fusionbench.cli.score import score_command
from fusionbench.cli.train import run_command
from fusionbench.core import deprecation
from tests.cli.test_options import OPTIONS


def former_of(option: click.Option) -> list[str]:
    if isinstance(option, Former):
        return list(option.opts)
    return list(option.former) if isinstance(option, Option) else []


@pytest.fixture(autouse=True)
def nothing_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecation, "_WARNED", set())


@click.command
@keep_images_option("Keep them.")
@click.pass_context
def command(context: click.Context, keep_images: bool | None) -> None:
    source = context.get_parameter_source("keep_images")
    click.echo(f"{keep_images} {source is click.core.ParameterSource.DEFAULT}")


@pytest.mark.parametrize(
    ("arguments", "out", "err"),
    [
        ([], "None True", ""),
        (["--keep-images"], "True False", ""),
        (["--no-images"], "False False", ""),
        (["--keep-pictures"], "True False", "--keep-pictures is deprecated …; use --keep-images instead"),
        (["--no-pictures"], "False False", "--no-pictures is deprecated …; use --no-images instead"),
        (["--no-pictures", "--keep-images"], "True False", ""),
    ],
)
def test_spellings(arguments: list[str], out: str, err: str) -> None:
    done = CliRunner().invoke(command, arguments)
    assert (done.exit_code, done.stdout.strip()) == (0, out)
    told = done.stderr.replace("and will be removed in fusionbench 0.3", "…").strip()
    assert told == (f"warning: {err}" if err else "")


@pytest.mark.parametrize("verb", [score_command, evaluate_command, run_command])
def test_the_help_has_the_present_spelling_only(verb: click.Command) -> None:
    words = ["--protocol", "pairs"] if verb is evaluate_command else []
    text = CliRunner().invoke(verb, [*words, "--help"]).stdout
    assert "--keep-images / --no-images" in text and "pictures" not in text


def test_a_mistyped_option_is_still_refused() -> None:
    done = CliRunner().invoke(command, ["--keep-picture"])
    assert done.exit_code == 2 and "No such option" in done.stderr


FORMER = [(option, spelling) for options in OPTIONS.values() for option in options for spelling in former_of(option)]


@pytest.mark.parametrize(("option", "spelling"), FORMER)
def test_every_former_spelling_gives_the_value_and_one_line(option: click.Option, spelling: str) -> None:
    """On a command with this option alone; ``-d x``, ``--output=x`` and ``--output x`` are all understood."""
    [parsed] = {
        str(click.Command("x", params=[option]).make_context("x", words).params[str(option.name)])
        for words in ([spelling, "x"], [f"{spelling}=x" if spelling.startswith("--") else f"{spelling}x"])
    }
    assert parsed in ("x", "(PosixPath('x'),)")


@pytest.mark.parametrize(("option", "spelling"), FORMER)
def test_every_former_spelling_says_what_to_write(
    option: click.Option, spelling: str, capsys: pytest.CaptureFixture[str]
) -> None:
    context = click.Command("x", params=[option]).make_context("x", [spelling, "x"])
    now = getattr(option, "now", max(option.opts, key=len))
    told = f"warning: {spelling} is deprecated and will be removed in fusionbench 0.3; use {now} instead\n"
    assert capsys.readouterr().err == told
    assert spelling not in context.command.get_help(context).replace(now, "").split()


def test_former_spellings_are_these() -> None:
    assert {spelling for _, spelling in FORMER} == {
        "-d", "--data", "--output", "--html", "--csv", "--results", "--markdown", "--expect",
    }  # fmt: skip
