"""Settings: what a variable and a file may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.settings import Settings


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
