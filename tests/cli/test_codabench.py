"""``community codabench``: a suite as a bundle, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.runner import run


def test_a_bundle_for_codabench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("community", "codabench", "pairs-demo", "-o", tmp_path / "bundle", "--start", "2026-01-02")
    code, out, err = run(capsys, *words, "--image", "ours/scorer:1", "--total", 9)
    assert code == 0 and out.strip() == str(tmp_path / "bundle") and err == ""
    text = (tmp_path / "bundle" / "competition.yaml").read_text()
    assert 'docker_image: "ours/scorer:1"' in text and "max_submissions: 9" in text and "2026-01-02 00:00:00" in text
