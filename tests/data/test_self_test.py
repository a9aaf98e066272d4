"""The self-test passes here and names the culprit where something differs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.data import self_test as selftest
from fusionbench.data.build import build_dataset
from tests.cli.runner import run
from tests.data.test_build import small_recipe


def test_everything_is_as_known_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert selftest.run() == dict.fromkeys(selftest.CHECKS)
    code, out, _ = run(capsys, "verify", "--self-test")
    assert code == 0 and out.count("as known") == len(selftest.CHECKS)


def test_another_philox_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionbench.synth.random.uint64_outputs", lambda *_: np.zeros((1, 4), np.uint64))
    assert "Philox" in (selftest.check_philox() or "")


def test_another_opencv_is_named_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = cv2.resize
    monkeypatch.setattr(cv2, "resize", lambda *args, **kwargs: real(*args, **kwargs) ^ 1)
    with pytest.raises(DataError, match=r"OpenCV .* resizes differently"):
        build_dataset(small_recipe(), out=tmp_path)
    assert not list(tmp_path.iterdir())
    code, out, err = run(capsys, "verify", "--self-test", "--json")
    assert code == 1 and "resizes differently" in out and "Traceback" not in err


def test_another_canny_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = cv2.Canny
    monkeypatch.setattr(cv2, "Canny", lambda image, low, high, **kwargs: real(image, low + 40, high + 90, **kwargs))
    assert "cuts differently" in (selftest.check_cutting() or "")
