"""``new``: every scaffold passes its checks as it is written, its own test too, and nothing is written over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.cli.new import KINDS
from fusionbench.core.plugin_files import load_module
from tests.cli.runner import run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_scaffolds_pass_their_checks(kind: str, capsys: pytest.CaptureFixture[str], here: Path) -> None:
    code, out, err = run(capsys, "new", kind, f"my-first-{kind}")
    files = out.split()
    assert code == 0 and err.startswith("next: fusionbench ") and files[0] in err
    assert sorted(path.name for path in here.iterdir()) == sorted(files)
    assert "@" not in "".join((here / file).read_text() for file in files).replace("@dataclass", "")
    words = err.removeprefix("next: fusionbench ").split()
    if kind == "suite":
        words = [*words, "--models", "average", "--no-sheets", "-q", "--device", "cpu"]
    if kind == "recipe":
        words = words[: words.index("--source-dir")]
    code, out, err = run(capsys, *words)
    assert code == 0, out + err
    assert "fails" not in out
    for file in files[1:]:  # the tests beside it, run here: a process of its own would import torch again
        module = load_module(here / file)
        tests = [value for name, value in vars(module).items() if name.startswith("test_")]
        assert len(tests) >= 2
        for test in tests:
            (here / "scratch").mkdir(exist_ok=True)
            test(*([here / "scratch"] if test.__code__.co_argcount else []))


def test_nothing_is_written_over(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "test_my_net.py").write_text("mine")
    code, out, _ = run(capsys, "new", "model", "my-net", "--json")
    assert code == 2 and "test_my_net.py: is there already" in json.loads(out)["error"]["message"]
    assert [path.name for path in here.iterdir()] == ["test_my_net.py"], "none of two is written"
    (here / "dangling.toml").symlink_to(here / "nowhere")
    assert run(capsys, "new", "suite", "dangling")[0] == 2 and not (here / "nowhere").exists()


def test_json_and_out(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    code, out, _ = run(capsys, "new", "metric", "sharpness", "-o", "sub", "--json")
    assert code == 0
    assert json.loads(out) == {
        "kind": "metric",
        "files": ["sub/sharpness.py", "sub/test_sharpness.py"],
        "next": "fusionbench check sub/sharpness.py:METRIC",
    }
    assert sorted(path.name for path in (here / "sub").iterdir()) == ["sharpness.py", "test_sharpness.py"]


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", "My-Net", "1net", "class", "torch", "json", "a--b", "-x", "ü", "x" * 80, "a\nb"]
)
def test_names_that_no_file_can_have(name: str, capsys: pytest.CaptureFixture[str], here: Path) -> None:
    code, out, err = run(capsys, "new", "model", "--", name)
    assert code == 2 and out == "" and not list(here.iterdir()), err
