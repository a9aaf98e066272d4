"""``fusionbench generate`` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fusionbench.data.recipes import load_recipe
from tests.data.test_build import DIGITS, contents
from tests.data.test_refused import BAD, TEXT, write, write_good
from tests.helpers import plugins


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from fusionbench.cli import main; main()", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_it_prints_the_folder_and_resumes_at_once(tmp_path: Path) -> None:
    done = run("generate", "fusiondigits", "--out", "d", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.strip()
    assert folder == load_recipe("fusiondigits").folder(tmp_path / "d") and (folder / "manifest.json").is_file()
    assert "shards" in done.stderr and "views/s" in done.stderr
    again = run("-q", "generate", "fusiondigits", "--out", "d", "--json", cwd=tmp_path)
    facts = json.loads(again.stdout)
    assert again.returncode == 0 and again.stderr == ""
    assert facts["splits"]["test"]["n"] == 296 and facts["id"] == load_recipe("fusiondigits").expect.id


def test_a_recipe_file(tmp_path: Path) -> None:
    text = DIGITS.partition("[expect]")[0].replace('name = "fusiondigits"', 'name = "mine"')
    text = text.replace("count = 3", "count = 2")
    (tmp_path / "mine.toml").write_text(text)
    done = run("generate", "--recipe", "mine.toml", "--jobs", "1", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("data/mine/1.0.0/")


def test_mistakes_get_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(DIGITS.replace("count = 3", "count = 0"))
    (tmp_path / "file").write_text("")
    cases = {
        ("generate", "fusiondigit"): "Did you mean 'fusiondigits'",
        ("generate",): "Name one data set",
        ("generate", "fusiondigits", "--recipe", "bad.toml"): "Name one data set",
        ("generate", "--recipe", "bad.toml"): "views.count",
        ("generate", "--recipe", "none.toml"): "no such recipe",
        ("generate", "fusionmnist"): "--source-dir",
        ("generate", "fusionmnist", "--source-dir", "nothing"): "nothing: no such folder",
        ("generate", "fusionmnist", "--source-dir", "."): "train-images-idx3-ubyte",
        ("generate", "fusiondigits", "--out", "file"): "cannot write",
    }
    for args, message in cases.items():
        done = run(*args, cwd=tmp_path)
        assert done.returncode == 2, (args, done.stderr)
        assert message in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1


def test_help_has_an_example(tmp_path: Path) -> None:
    assert "Example: fusionbench generate" in run("generate", "--help", cwd=tmp_path).stdout


def test_refused_files_are_counted_and_left_out_on_request(tmp_path: Path) -> None:
    write(tmp_path / "files")
    (tmp_path / "mine.toml").write_text(TEXT)
    args = ("generate", "--recipe", "mine.toml", "--source-dir", "files")
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1
    assert "files: 6 of 20 files are refused: 03.png (" in done.stderr and "--skip-refused" in done.stderr
    done = run(*args, "--skip-refused", "--json", cwd=tmp_path)
    facts = json.loads(done.stdout)
    assert done.returncode == 0 and facts["refused"]["all"].keys() == BAD.keys(), done.stderr
    assert facts["splits"]["train"]["n"] + facts["splits"]["test"]["n"] == 20 - 6
    assert "files: 6 of 20 files are refused and left out" in done.stderr and "  14.png: " in done.stderr
    again = run("-q", *args, "--skip-refused", "--jobs", "2", cwd=tmp_path)
    assert again.stdout.strip() == facts["folder"] and again.stderr == ""
    shown = run("plan", "--recipe", "mine.toml", "--source-dir", "files", "--skip-refused", "--json", cwd=tmp_path)
    assert json.loads(shown.stdout)["folder"] == facts["folder"]
    done = run("generate", "fusiondigits", "--skip-refused", cwd=tmp_path)
    assert done.returncode == 2 and "not made of single image files" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_worker_that_dies_costs_its_shard_and_is_told_in_one_line(tmp_path: Path) -> None:
    words = ["generate", "--recipe", plugins.recipe(tmp_path), "--jobs", 2]
    done = plugins.fusionbench(tmp_path, *words, HOW="SIGSEGV")
    assert (done.returncode, done.stdout) == (3, "")
    line = done.stderr.splitlines()[-1]
    assert line.startswith("fusionbench: data/fusiondigits/1.0.0/") and "Traceback" not in done.stderr
    assert "4 of 5 shards are missing, the worker that made fusiondigits-1.0.0-train-00001-of-00004.h5" in line
    assert "crashed (SIGSEGV) in native code; log: data/fusiondigits/" in line and "source file may be damaged" in line
    (log,) = tmp_path.glob("data/fusiondigits/*/*/.build/workers.log")
    assert "in read" in log.read_text().partition("Segmentation fault")[2] and "reading" in log.read_text()
    (made,) = tmp_path.glob("data/**/*.h5")
    when = made.stat().st_mtime_ns
    # two deaths a shard and no more: one beside others, one alone
    assert sum("crashed (SIGSEGV)" in line for line in log.read_text().splitlines()) == 2 * 4
    again = plugins.fusionbench(tmp_path, *words)
    assert again.returncode == 0 and made.stat().st_mtime_ns == when, again.stderr
    assert again.stdout == f"{made.parent.relative_to(tmp_path)}\n"  # what the source prints is not on stdout


def test_a_worker_that_is_killed_once_costs_nothing(tmp_path: Path) -> None:
    words = ["generate", "--recipe", plugins.recipe(tmp_path), "--jobs", 2]
    done = plugins.fusionbench(tmp_path, *words, "--out", "killed", HOW="SIGKILL-once")
    assert done.returncode == 0 and "a worker was lost; making its shards again" in done.stderr, done.stderr
    whole = plugins.fusionbench(tmp_path, *words, "--out", "whole")
    assert whole.returncode == 0
    assert contents(tmp_path / done.stdout.strip()) == contents(tmp_path / whole.stdout.strip())


def test_a_changed_source_is_refused_updated_and_verified(tmp_path: Path) -> None:
    write_good(tmp_path / "files")
    (tmp_path / "mine.toml").write_text(TEXT)
    what = ("--recipe", "mine.toml", "--source-dir", "files")
    first = run("generate", *what, cwd=tmp_path)
    folder = first.stdout.strip()
    before = contents(tmp_path / folder)
    write_good(tmp_path / "other", 30)
    (tmp_path / "files" / "00.png").write_bytes((tmp_path / "other" / "29.png").read_bytes())
    for verb in (("generate", *what), ("plan", *what), ("verify", folder, "--source-dir", "files")):
        done = run(*verb, cwd=tmp_path)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert "the source has changed" in done.stderr and "1 file changed (00.png)" in done.stderr, verb
        assert "Traceback" not in done.stderr and "--update" in done.stderr
        assert (verb[0] == "plan") == ("`generate --update` makes 1 of 6 shards again" in done.stdout)
    assert contents(tmp_path / folder) == before
    done = run("generate", *what, "--update", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, folder)
    assert "mine: 1 of 6 shards made again: mine-1.0.0-train-00000-of-00004.h5" in done.stderr
    assert run("verify", folder, "--regenerate", "all", "--source-dir", "files", cwd=tmp_path).returncode == 0
    assert "finished" in run("plan", *what, cwd=tmp_path).stdout
    assert contents(tmp_path / folder) != before


def test_damage_is_told_by_status_and_repaired_by_the_same_command(tmp_path: Path) -> None:
    folder = tmp_path / run("generate", "fusiondigits", cwd=tmp_path).stdout.strip()
    before = contents(folder)
    shard = sorted(folder.glob("*.h5"))[0]
    shard.unlink()
    shown = run("status", "data", cwd=tmp_path)
    assert f"damaged: 1 of 7 files is damaged: {shard.name} (missing)" in shown.stdout
    assert "1 files are damaged" not in run("plan", "fusiondigits", cwd=tmp_path).stdout
    done = run("generate", "fusiondigits", cwd=tmp_path)
    assert done.returncode == 0 and f"repaired: {shard.name}" in done.stderr and contents(folder) == before
    assert "finished" in run("status", "data", cwd=tmp_path).stdout


def test_options_that_exclude_each_other(tmp_path: Path) -> None:
    for words, message in {
        ("--update", "--force"): "choose one of them",
        ("--update", "--out", "memory://data"): "--update does not go with a URL",
    }.items():
        done = run("generate", "fusiondigits", *words, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.strip().splitlines()) == 1
