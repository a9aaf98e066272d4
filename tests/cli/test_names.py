"""What the shell completes: names of every kind, from the registries, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusionbench.cli import cli


def completed(*words: str) -> list[str]:
    """The completions of the last word, as click gives them to a shell."""
    from click.shell_completion import ShellComplete

    shell = ShellComplete(cli, {}, "fusionbench", "_FUSIONBENCH_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1]) if item.type == "plain"]


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["tr"], {"train"}),
        (["train", "fusionv"], {"fusionvae", "fusionvae-patch", "fusionvae-plus"}),
        (["describe", "tn"], {"tno"}),
        (["score", "--metrics", "vi"], {"vif", "viff", "vif_wavelet"}),
        (["score", "--metrics", "en,vi"], {"en,vif", "en,viff", "en,vif_wavelet"}),
        (["score", "--metrics", "vif,vi"], {"vif,viff", "vif,vif_wavelet"}),
        (["generate", "fusionm"], {"fusionmnist"}),
        (["run", "pairs-"], {"pairs-demo", "pairs-demo-robust"}),
        (["accept", "x.zip", "--suite", "quick"], {"quickstart"}),
        (["evaluate", "run", "--protocol", "ma"], {"masked/1"}),
        (["compare", "results", "--columns", "psnr_"], {"psnr_target"}),
        (["fetch", "mni"], {"mnist"}),
        (["new", "mod"], {"model"}),
        (["recipe", "ch"], {"check"}),
        (["evaluate", "run", "--data-"], {"--data-root"}),
    ],
)
def test_names(words: list[str], some: set[str]) -> None:
    assert set(completed(*words)) == some


def test_data_sets_below_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "mi; rm -rf x", "mi\nother"):
        folder = tmp_path / "big" / name / "1.0.0" / "abc"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    assert completed("train", "fcn", "--data-root", "big", "-d", "mi") == ["mine"]
    assert "mine" not in completed("train", "fcn", "-d", "mi")
    monkeypatch.setenv("FUSIONBENCH_DATA_ROOT", "big")
    assert completed("train", "fcn", "-d", "mi") == ["mine"]


def test_broken_settings_are_no_message_in_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.toml").write_text("nonsense = 1")
    monkeypatch.setenv("FUSIONBENCH_CONFIG", str(tmp_path / "c.toml"))
    assert "fusionvae" in completed("train", "fusionvae")


def test_it_runs_no_plugin_of_the_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap.py").write_text("open('sprung', 'w').close()")
    completed("train", "trap.py:Net", "--plugin", "trap.py", "--data", "x")
    assert not (tmp_path / "sprung").exists()


def test_bash_asks_without_torch() -> None:
    code = "import json, sys\nfrom fusionbench.cli import main\ntry: main([])\nexcept SystemExit: pass\n"
    code += "print(json.dumps([name for name in ('torch', 'numpy', 'matplotlib', 'skimage') if name in sys.modules]))"
    words = {"_FUSIONBENCH_COMPLETE": "bash_complete", "COMP_WORDS": "fusionbench train cva", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **words}, capture_output=True, text=True, timeout=120
    )
    *names, modules = done.stdout.splitlines()
    assert {"plain,cvae", "plain,cvae+s"} <= set(names) and json.loads(modules) == [], done.stderr
