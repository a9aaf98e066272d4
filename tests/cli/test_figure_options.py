"""Values of options that are lists, numbers or inches."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.cli.figure_options import inches, kind_of_figure, split_names, split_places, whole_numbers
from fusionbench.core.errors import DataError, UsageError


def test_values() -> None:
    assert split_names(["a, b", "", ",c,"]) == ["a", "b", "c"]
    assert whole_numbers("--ids", "3, 0,12") == [3, 0, 12] and whole_numbers("--ids", "") == []
    assert [inches(text) for text in ("single", "double", "1", "4.25")] == [3.5, 7.16, 1.0, 4.25]
    for text in ("0.9", "41", "nan", "inf", "wide", ""):
        with pytest.raises(UsageError, match="--width"):
            inches(text)
    for text in ("x", "1.5", "-1", "1,²", "9999999999"):
        with pytest.raises(UsageError, match="--ids"):
            whole_numbers("--ids", text)


def test_names_of_files_keep_their_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "u2, 2020").mkdir()
    assert split_places(["gtf,average", "A=u2, 2020", "u2, 2020"]) == ["gtf", "average", "A=u2, 2020", "u2, 2020"]


def test_places(tmp_path: Path) -> None:
    assert kind_of_figure(tmp_path / "new" / "a.pdf") == "pdf"
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="Not a directory"):
        kind_of_figure(tmp_path / "file" / "a.pdf")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="stay as they are"):
        kind_of_figure(tmp_path / "a.pdf")
