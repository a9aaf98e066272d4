"""Settings of the user's own: command line, environment, file, default in this order; ``config`` shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionbench.core.settings import CONFIG, SETTINGS, config_file, user_config_file
from fusionbench.data.build import build_dataset
from fusionbench.data.recipes import load_recipe
from tests.cli.runner import run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("big")
    build_dataset(load_recipe("pairs-demo-patches"), out=root)
    return root


def listed(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    return [card["name"] for card in json.loads(run(capsys, *words, "list", "datasets", "--json")[1])]


def test_what_comes_first(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.toml"
    file.write_text(f'data_root = "{data}"\n')
    found = ["pairs-demo-patches"]
    assert listed(capsys) == []
    assert listed(capsys, "--config", file) == found
    monkeypatch.setenv(CONFIG, str(file))
    assert listed(capsys) == found
    monkeypatch.setenv("FUSIONBENCH_DATA_ROOT", str(tmp_path))
    assert listed(capsys) == [], "a variable comes before the file"
    code, out, _ = run(capsys, "list", "datasets", "--json", "--data-root", data)
    assert code == 0 and [card["name"] for card in json.loads(out)] == found, "the command line comes first"
    assert run(capsys, "list", "datasets", "--config", file)[0] == 0


def test_a_file_in_the_working_folder_is_not_read(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CONFIG)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("fusionbench.toml", "config.toml", ".fusionbench.toml"):
        Path(name).write_text(f'data_root = "{data}"\n')
    assert listed(capsys) == []
    own = user_config_file()
    assert own.is_relative_to(tmp_path) and config_file() is None
    own.parent.mkdir(parents=True)
    own.write_text(f'data_root = "{data}"\n')
    assert config_file() == own and listed(capsys) == ["pairs-demo-patches"]


def test_a_name_below_the_root(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "mfeif", "-d", "pairs-demo-patches", "--budget", "1 step", "--device", "cpu", "-q"]
    assert run(capsys, *words)[0] == 2
    monkeypatch.setenv("FUSIONBENCH_DATA_ROOT", str(data))
    monkeypatch.setenv("FUSIONBENCH_RUNS_ROOT", "elsewhere")
    code, out, err = run(capsys, *words, "--preset", "tiny")
    assert code == 0 and out == "elsewhere/pairs-demo-patches/mfeif-seed0\n", err
    code, out, _ = run(capsys, "status", "--json")
    assert code == 0 and [row["name"] for row in json.loads(out)] == ["pairs-demo-patches"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_rot = 'x'", "Unknown setting 'data_rot'. Did you mean 'data_root'"),
        ("jobs = -1", "jobs is a whole number from 0, such as 4"),
        ("jobs = true", "jobs is a whole number from 0"),
        ("jobs = 99999999999999", "jobs is a whole number from 0"),
        ("device = 3", 'device is a text, such as "cuda:1"'),
        ("data_root = ''", "data_root is a text"),
        ('data_root = "a\\u0000b"', "data_root is a text"),
        ("plugins = 'a.py'", "plugins is an array of Python files"),
        ("plugins = ['a.txt']", "'{here}/a.txt' is no Python file of yours"),
        ("[data_root]\nx = 1", "data_root is a text"),
        ("data_root = ", "not a file of settings"),
        ("a." * 5000 + "b = 1", "not a file of settings: line 1 has a key of more than 16 parts"),
        ("#" * 70000, "too large"),
    ],
)
def test_a_wrong_file_is_one_line(text: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    code, out, err = run(capsys, "list", "suites", "--config", file)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert str(file) in err and message.format(here=tmp_path) in err, err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words in (["--config", tmp_path / "none.toml", "config"], ["config", "--config", tmp_path]):
        code, _, err = run(capsys, *words)
        assert code == 2 and "no such file of settings" in err


def test_config_shows_where_each_is_from(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.toml"
    file.write_text('device = "cuda:1"\njobs = 3\n')
    monkeypatch.setenv("FUSIONBENCH_JOBS", "2")
    monkeypatch.setenv("FUSIONBENCH_ROUND_SECRET", "do not show me")
    code, out, _ = run(capsys, "config", "--config", file, "--json")
    body = json.loads(out)
    assert code == 0 and body["file"] == str(file) and body["settings"].keys() == SETTINGS.keys()
    origins = {key: (row["value"], row["origin"]) for key, row in body["settings"].items()}
    assert origins["device"] == ("cuda:1", str(file)) and origins["jobs"] == (2, "FUSIONBENCH_JOBS")
    assert origins["data_root"] == ("data", "default") and "do not show me" not in out
    code, out, _ = run(capsys, "config", "--config", file)
    assert "jobs = 2  [FUSIONBENCH_JOBS]" in out and "do not show me" not in out
    assert "setting: jobs = 2 (FUSIONBENCH_JOBS)" in run(capsys, "-v", "list", "suites")[2]


def test_every_variable_is_in_the_guide() -> None:
    from fusionbench.core.settings import OTHER_VARIABLES

    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
    for name in [*OTHER_VARIABLES, *(setting.variable for setting in SETTINGS.values()), *SETTINGS]:
        assert f"`{name}`" in text, name
