"""Former spellings of options: they do what they did, on one line, and are in no help."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from fusionbench.cli.renamed_options import keep_images_option
from fusionbench.cli.score import score_command
from fusionbench.cli.train import evaluate_command, run_command
from fusionbench.core import deprecation


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
