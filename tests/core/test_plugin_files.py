"""Python files as plugins: which texts name one, the variable, and how a file is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.plugin_files import VARIABLE, PluginFile, kebab, load_module, plugin_files, split_plugin


def test_names() -> None:
    assert [kebab(name) for name in ("MyNet", "FCN", "U2Fusion", "my_net", "Net2D")] == [
        "my-net", "fcn", "u2-fusion", "my-net", "net2-d",
    ]  # fmt: skip
    assert split_plugin("a:b.py:C") == PluginFile(Path("a:b.py"), "C")
    assert split_plugin("http://x.org/a") is None and split_plugin("average") is None


def test_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "a.py:B; /x/c.py ;")
    assert plugin_files() == [PluginFile(Path("a.py"), "B"), PluginFile(Path("/x/c.py"))]
    monkeypatch.setenv(VARIABLE, "average")
    with pytest.raises(UsageError, match="FUSIONBENCH_PLUGINS: 'average' is no Python file"):
        plugin_files()


def test_a_file_hides_no_module_and_is_read_again_when_it_changed(tmp_path: Path) -> None:
    import json as real

    (tmp_path / "json.py").write_text("value = 1")
    assert load_module(tmp_path / "json.py").value == 1 and __import__("json") is real
    (tmp_path / "json.py").write_text("value = 2")
    assert load_module(tmp_path / "json.py").value == 2
    (tmp_path / "helper.py").write_text("deep = 3")
    (tmp_path / "uses.py").write_text("from helper import deep")
    assert load_module(tmp_path / "uses.py").deep == 3
    with pytest.raises(DataError, match="no such Python file"):
        load_module(tmp_path / "gone.py")
