"""Settings: what a variable and a file may say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.settings import Settings, config_file


def test_wrong_variables() -> None:
    for value in ("x", "-1", "1.5", "٣", "999999"):
        with pytest.raises(UsageError, match="FUSIONBENCH_JOBS="):
            Settings(None, {"FUSIONBENCH_JOBS": value})
    assert Settings(None, {"FUSIONBENCH_JOBS": ""}).get("jobs") is None


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    file = tmp_path / "c.toml"
    file.write_text('data_root = "sets"\nruns_root = "~/runs"\nplugins = ["net.py:Net", "/x/m.py"]\n')
    settings = Settings(file, {})
    assert settings.value("data_root") == str(tmp_path / "sets") and settings.value("runs_root") == "/home/ada/runs"
    assert settings.value("plugins") == [str(tmp_path / "net.py:Net"), "/x/m.py"]
    assert settings.value("results_root") == "results"
    with pytest.raises(DataError):
        Settings(tmp_path / "none.toml", {})


@pytest.mark.skipif(sys.platform == "win32", reason="Windows guesses the folders of other users")
@pytest.mark.parametrize("line", ['data_root = "~no-such-user/data"', 'plugins = ["~no-such-user/net.py"]'])
def test_a_home_folder_that_nobody_knows_is_one_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(line)
    key = line.partition(" ")[0]
    with pytest.raises(DataError) as caught:
        Settings(file, {})
    assert str(caught.value) == f"{file}: {key}: no home folder of ~no-such-user is known; write a full path"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has a variable of its own for such files")
def test_without_a_home_folder_no_file_of_the_working_folder_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FUSIONBENCH_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it does where nothing is known
    for own in (".config/fusionbench", "Library/Application Support/fusionbench"):
        (tmp_path / "~" / own).mkdir(parents=True)
        (tmp_path / "~" / own / "config.toml").write_text('data_root = "/elsewhere"')
    assert config_file() is None
