"""``fetch`` shows the licence, asks, and downloads; from a server of the test alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.runner import run
from tests.sources.fetching import Server, server  # noqa: F401 a fixture

pytest.importorskip("pooch")


class Terminal:
    """Somebody who can be asked and types ``answer``."""

    encoding = "utf-8"

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self, size: int = -1) -> str:
        return self.answer


def test_it_downloads_what_it_has_shown(
    server: Server,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "files"
    for name in ("mnist", "fusionmnist"):  # the data set's source
        code, shown, err = run(capsys, "fetch", name, "--yes", "--out", out)
        assert code == 0, err
        for part in ("licence: CC BY-SA 3.0", "citation: Y. LeCun", "homepage: http", f"from: {server.address}"):
            assert part in shown
        assert f"size: 4 files, 0.0 MB\nto: {out}\n4 files are right; use them with --source-dir {out}\n" in shown
    assert len(server.asked) == 4 and len(list(out.iterdir())) == 4


@pytest.mark.parametrize(("answer", "files"), [("y\n", 4), ("n\n", 0), ("\n", 0)])
def test_it_asks(
    answer: str,
    files: int,
    server: Server,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    code, shown, _ = run(capsys, "fetch", "mnist", "--out", tmp_path / "files")
    assert code == 0 and len(server.asked) == files
    assert ("nothing was downloaded" in shown) == (not files)


def test_nobody_to_ask_is_an_error(
    server: Server,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = run(capsys, "fetch", "mnist", "--out", tmp_path / "files")
    assert code == 2 and "--yes" in err and server.asked == [] and not (tmp_path / "files").exists()


def test_a_mirror_that_does_not_work_is_one_line(
    server: Server,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("fetch", "mnist", "--yes", "--out", tmp_path / "files", "--mirror")
    code, _, err = run(capsys, *arguments, f"{server.address}no")
    assert code == 2 and err.splitlines()[-1].startswith("fusionbench: http") and "404" in err
    code, _, err = run(capsys, *arguments, "file:///etc")
    assert code == 2 and "begins with https://" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("celeba", 2, "agreement"),
        ("tless", 2, "train_primesense"),
        ("fusioncoil", 2, "coil20/objN__T.png"),
        ("roadscene", 2, "https://github.com/hanna-xu/RoadScene"),
        ("folder", 2, "images of your own"),
        ("mnits", 2, "Did you mean 'mnist'"),
        ("digits", 0, ""),
        ("pairs-demo", 0, ""),
    ],
)
def test_others_have_one_line_of_what_to_do(
    name: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, shown, err = run(capsys, "fetch", name, "--yes")
    assert found == code and said in err and err.count("\n") == (code != 0)
    assert ("licence:" in shown) == (name != "mnits") and ("nothing to fetch" in shown) == (code == 0)
