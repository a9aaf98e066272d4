"""The options of a protocol on the command line: found by protocol or data, read by their type, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner

from fusionbench.cli.evaluate import evaluate_command
from fusionbench.cli.protocol_options import ProtocolCommand, protocol_settings, used_protocol
from fusionbench.core import deprecation
from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.plugin_files import plugins_of_this_command
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.protocols.base import BaseProtocol, Options
from fusionbench.evaluation.protocols.flags import Flag

# what `evaluate` had before protocols had options of their own: every documented command goes on working
FORMER = {
    "masked": ["-k 3", "--samples 3", "--seed 1", "--paper-batch 8", "--precision fp32", "--compile", "--curves"],
    "pairs": ["--source-dir x", "--stretch", "--range-a 14bit", "--range-b full", "--strict", "--keep-images"],
}
FORMER["masked"] += ["--sheets"]
FORMER["pairs"] += ["--no-images", "--keep-pictures", "--no-pictures"]
COMMON = {"data", "protocol", "extra", "split", "limit", "out", "device", "force", "as_json", "methods"}
COMMON |= {"backend", "scheduler", "preset", "settings", "stop_after", "title"}


class OtherOptions(Options, kw_only=True, frozen=True):
    blur: float = 2.0
    rounds: int = 3
    edges: bool = True
    name_of: str | None = None
    out: str = "taken"
    weights: dict[str, float] = msgspec.field(default_factory=dict)


class Other(BaseProtocol):
    name, version, title, about, columns = "other", "1", "others", "Nothing is scored.", ("x",)
    Options = OtherOptions
    takes = frozenset({"strict", "colours"})
    flags = {"blur": Flag("How much.", ("-b", "--blurred")), "out": Flag(spellings=("-o", "--out"))}  # noqa: RUF012

    def open(self, data: str, options: Any, **_: Any) -> None: ...

    def spec(self, data: Any) -> Any: ...

    def evaluate(self, *_: Any, colours: str = "grey", **__: Any) -> Any: ...


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[Other]:
    names, get = PROTOCOLS.names(), PROTOCOLS.get
    found = Other()
    monkeypatch.setattr(PROTOCOLS, "names", lambda: [*names, "other/1"])
    monkeypatch.setattr(PROTOCOLS, "get", lambda name: found if name == "other/1" else get(name))
    monkeypatch.setattr(deprecation, "_WARNED", set())
    yield found


@click.command(cls=ProtocolCommand)
@click.argument("runs", nargs=-1)
@click.option("-d", "--data", required=True)
@click.option("--protocol")
@click.option("--out")
@click.pass_context
def command(context: click.Context, runs: tuple[str, ...], data: str, protocol: str, out: str, **own: Any) -> None:
    found = protocol_settings(context, used_protocol(context), own)
    click.echo(f"{used_protocol(context).key} {runs} {dict(sorted(found.items()))}")


def said(*words: str) -> str:
    done = CliRunner().invoke(command, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def test_only_what_every_protocol_has_is_an_option_of_evaluate_itself() -> None:
    assert {param.name for param in evaluate_command.params if param.expose_value} == COMMON  # others are of all verbs
    for name in PROTOCOLS.names():
        assert not COMMON & (PROTOCOLS.get(name).own_options.keys() | PROTOCOLS.get(name).takes)


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, all_of in FORMER.items() for words in all_of])
def test_every_former_option_is_one_of_its_protocol_and_of_no_other(name: str, words: str) -> None:
    assert said("run", "--protocol", name, "-d", "x", *words.split()).startswith(f"{name}/1 ('run',) {{'")
    [other] = FORMER.keys() - {name}
    if "picture" in words or "--no-" in words:
        return
    with pytest.raises(UsageError, match=rf"^{words.split()[0]}: for --protocol {name} only$"):
        said("run", "--protocol", other, "-d", "x", *words.split())


def test_values_have_the_type_of_the_option(other: Other) -> None:
    words = ("run", "--protocol", "other", "-d", "x", "-b", "3", "--rounds", "4", "--no-edges", "--name-of", "5")
    more = ("--weights", "{a = 1.5}", "--strict", "--colours", "all", "second")
    assert said(*words, *more) == (
        "other/1 ('run', 'second') {'blur': 3.0, 'colours': 'all', 'edges': False, 'name_of': '5', 'rounds': 4, "
        "'strict': True, 'weights': {'a': 1.5}}"
    )
    assert said("--protocol=other", "-d", "x") == "other/1 () {}", "what is not given is left to the protocol"


def test_a_spelling_of_the_command_stays_the_commands(other: Other) -> None:
    assert said("--protocol", "other", "-d", "x", "--out", "y") == "other/1 () {}"
    assert said("--protocol", "other", "-d", "x", "-o", "y") == "other/1 () {'out': 'y'}"


def test_the_data_choose_the_protocol_where_none_is_named() -> None:
    assert said("-d", "pairs-demo", "--strict") == "pairs/1 () {'strict': True}"
    assert said("-d", "fusiondigits", "-k", "2") == "masked/1 () {'draws': 2}"
    assert said("-d", "mine", "--source-dir", "there").startswith("pairs/1 () {'source_dir': ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-k 2", "Missing option '-d' / '--data'"),
        ("-d fusiondigits -k 0", "Invalid value for '-k' / '--samples': 0 is not in the range x>=1"),
        ("-d fusiondigits --curvs", "No such option '--curvs'"),
        ("-d", "requires an argument"),
    ],
)
def test_mistakes(words: str, message: str) -> None:
    done = CliRunner().invoke(command, words.split())
    assert done.exit_code == 2 and message in done.stderr


def test_a_value_that_the_protocol_refuses_is_named_by_its_option() -> None:
    with pytest.raises(UsageError, match=r"^--range-b: 'wide' is no range"):
        said("-d", "pairs-demo", "--range-b", "wide")


def test_an_option_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    words = [str(tmp_path), "-d", "fusiondigits", "-k", "2", "--option", "draws=3"]
    with pytest.raises(UsageError, match="--option draws: is given twice"):
        CliRunner().invoke(evaluate_command, words, catch_exceptions=False)


def test_the_help_shows_the_options_of_one_protocol_or_whose_there_are() -> None:
    text = " ".join(CliRunner().invoke(evaluate_command, ["--help"]).stdout.split())
    text_of_words = " ".join(CliRunner().invoke(evaluate_command, ["-k", "2", "--help"]).stdout.split())
    assert "masked/1 --samples --seed --paper-batch" in text and "pairs/1 --stretch" in text and text == text_of_words
    for words in (["--protocol", "pairs", "--help"], ["-d", "pairs-demo", "--help"]):
        own = " ".join(CliRunner().invoke(evaluate_command, words).stdout.split())
        assert "pairs/1 (registered pairs): --stretch Stretch every fused image" in own and "--samples" not in own


def test_it_names_the_protocol_of_another_package_as_the_owner(other: Other) -> None:
    with pytest.raises(UsageError, match=r"^--rounds: for --protocol other only$"):
        said("-d", "fusiondigits", "--rounds", "3")


OWN = """
from fusionbench.evaluation.protocols.base import BaseProtocol, Options


class MineOptions(Options, kw_only=True, frozen=True):
    blur: float = 2.0


class Mine(BaseProtocol):
    name, version, title, about, columns = "mine", "1", "of a file", "Nothing is scored.", ("x",)
    Options, takes, flags = MineOptions, frozenset(), {}

    def open(self, data, options, **_): ...

    def spec(self, data): ...

    def evaluate(self, *_, **__): ...

    def measure(self, *_): ...


PROTOCOL = Mine()
"""


@pytest.mark.parametrize("attribute", ["", ":PROTOCOL"])
def test_a_protocol_may_be_a_file(attribute: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    words = ["--protocol", f"{tmp_path / 'mine.py'}{attribute}"]
    with plugins_of_this_command():
        shown = CliRunner().invoke(evaluate_command, [*words, "-d", "pairs-demo", "--help"], catch_exceptions=False)
        assert "mine/1 (of a file)" in shown.stdout and "--blur" in shown.stdout
        done = CliRunner().invoke(
            evaluate_command, [*words, "-d", "pairs-demo", "--blur", "wide", "run"], catch_exceptions=False
        )
    assert done.exit_code == 2 and "'--blur': 'wide' is not a valid float" in done.stderr


def test_a_protocol_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with plugins_of_this_command(), pytest.raises(DataError, match=r"nope\.py: no such Python file"):
        said("--protocol", f"{tmp_path / 'nope.py'}", "-d", "pairs-demo")
