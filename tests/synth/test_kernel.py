"""Which kernel works, and that a numba that is missing, old, broken or wrong never makes a view."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from fusionbench.core.errors import UsageError
from fusionbench.core.unit_range import to_unit
from fusionbench.synth import Ellipses, MaskedViews, Noise, kernel

needs_numba = pytest.mark.skipif(not kernel.installed(), reason="the extra `fast` is not installed")
MAKER = MaskedViews("kernel", "train", 0, 16, 12, 1, 2, Ellipses(2, (2, 5)), Noise.of(0.25))
TARGETS, SAMPLES = np.full((8, 16, 12), 128, np.uint8), np.arange(8)
VIEWS = MAKER.make_views(TARGETS, SAMPLES)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has made no views yet."""
    monkeypatch.setattr(kernel, "_state", kernel._State())
    monkeypatch.delenv(kernel.VARIABLE, raising=False)


def stand_in(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Something else in the place of numba."""
    module = types.ModuleType("numba")
    module.__version__ = version  # type: ignore[attr-defined]
    module.config = types.SimpleNamespace(CACHE_DIR="")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "numba", module)
    monkeypatch.setattr(kernel, "installed", lambda: True)


def test_little_work_is_not_worth_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(kernel, "_load", loaded.append)
    assert kernel.compiled(kernel.WORTH) is None and not loaded
    kernel.compiled(1)
    assert loaded == ["auto"]
    monkeypatch.setenv(kernel.VARIABLE, "numpy")
    assert kernel.compiled(1 << 40) is None and loaded == ["auto"]


@needs_numba
def test_the_answer_is_what_numpy_makes() -> None:
    """The known answer that the compiled functions have to give, from the functions that they replace."""
    assert kernel.answer(NumpyFunctions) == kernel.ANSWER
    module = kernel._import()
    assert kernel.answer(module) == kernel.ANSWER


class NumpyFunctions:
    """The functions of ``compiled`` by the code for NumPy."""

    @staticmethod
    def words(out, samples, view, epoch, purpose, k0, k1):  # type: ignore[no-untyped-def]
        from fusionbench.synth.random import uint64_outputs

        key = int(k0), int(k1)
        blocks = out.shape[1] // 4
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(kernel.VARIABLE, "numpy")
            out[:] = uint64_outputs(key, samples, blocks, view=int(view), epoch=int(epoch), purpose=int(purpose))

    @staticmethod
    def unit_rows(out, base, begins):  # type: ignore[no-untyped-def]
        images, channels, pixels = out.shape[1:]
        for row, begin in zip(out, begins.tolist(), strict=True):
            bytes_of = base[begin : begin + images * channels * pixels].reshape(images, pixels, channels)
            row[:] = to_unit(torch.from_numpy(bytes_of)).numpy().swapaxes(1, 2)

    @staticmethod
    def noise(out, samples, view, epoch, k0, k1, table):  # type: ignore[no-untyped-def]
        drawn = np.empty((len(samples), 4 * -(-out.shape[1] // 16)), np.uint64)
        NumpyFunctions.words(drawn, samples, view, epoch, 0, k0, k1)
        out[:] = table[drawn.view(np.uint16)[:, : out.shape[1]]]

    @staticmethod
    def masks(out, params, half, transposed):  # type: ignore[no-untyped-def]
        rows, columns = np.arange(out.shape[1])[:, None], np.arange(out.shape[2])
        for mask, ellipses in zip(out, params.astype(np.int64), strict=True):
            mask[:] = 0
            for row, column, radius, e in ellipses:
                square = 256 * e * radius**2
                if transposed:
                    t = (square - 65536 * (rows - row) ** 2) // e**2
                else:
                    t = (square - e**2 * (rows - row) ** 2) // 65536
                mask[(columns - column) ** 2 <= t] = 255

    @staticmethod
    def masked_views(out, targets, params, samples, half, transposed, noisy, table, epoch, k0, k1):  # type: ignore[no-untyped-def]
        for view in range(out.shape[1]):
            masks = np.empty(targets.shape[:3], np.uint8)
            NumpyFunctions.masks(masks, params[:, view], half, transposed)
            seen = (targets & masks[..., None]).astype(np.int64)
            if noisy:
                drawn = np.empty((len(targets), targets[0].size), np.int16)
                NumpyFunctions.noise(drawn, samples, view, epoch, k0, k1, table)
                seen += drawn.reshape(seen.shape)
            out[:, view] = seen.clip(0, 255)

    @staticmethod
    def pastes(out, images, params, bank, sine):  # type: ignore[no-untyped-def]
        from fusionbench.synth import augment
        from tests.synth.reference import paste

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(augment, "SINE", sine)
            for view in range(out.shape[1]):
                out[:, view] = paste(bank[:, 2:-2, 2:-2], images, params[:, view])
        return True


@pytest.mark.parametrize(
    ("version", "problem"),
    [("0.59.1", "numba 0.59.1 is older than 0.60"), ("9.9.9", "ImportError: cannot import name")],
)
def test_an_old_or_broken_numba_is_one_note(
    version: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("platformdirs")  # of the extra `fast`, as numba is
    stand_in(monkeypatch, version)
    monkeypatch.delitem(sys.modules, "fusionbench.synth.compiled", raising=False)
    monkeypatch.delattr("fusionbench.synth.compiled", raising=False)
    monkeypatch.setattr(kernel, "WORTH", 0)
    for _ in range(3):
        assert np.array_equal(MAKER.make_views(TARGETS, SAMPLES), VIEWS)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: numba cannot be used, NumPy makes the same views more slowly (")
    assert problem in line
    assert kernel.describe()[0] == "NumPy" and problem in (kernel.describe()[1] or "")


@needs_numba
def test_a_numba_that_makes_other_views_is_not_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernel, "ANSWER", "0" * 64)
    monkeypatch.setattr(kernel, "WORTH", 0)
    assert np.array_equal(MAKER.make_views(TARGETS, SAMPLES), VIEWS)
    assert "makes other views here" in capsys.readouterr().err
    monkeypatch.setattr(kernel, "_state", kernel._State())
    monkeypatch.setenv(kernel.VARIABLE, "numba")
    with pytest.raises(UsageError, match=r"makes other views here.*fusionbench\[fast\]"):
        MAKER.make_views(TARGETS, SAMPLES)


def test_no_numba_is_no_note_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernel, "installed", lambda: False)
    monkeypatch.setattr(kernel, "WORTH", 0)
    assert np.array_equal(MAKER.make_views(TARGETS, SAMPLES), VIEWS)
    assert capsys.readouterr().err == "" and "extra `fast`" in kernel.describe()[0]
    monkeypatch.setenv(kernel.VARIABLE, "numba")
    with pytest.raises(UsageError, match="numba is not installed; run `pip install"):
        MAKER.make_views(TARGETS, SAMPLES)


def test_an_unknown_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernel.VARIABLE, "fortran")
    with pytest.raises(UsageError, match="FUSIONBENCH_KERNEL=fortran: no such kernel; set it to auto, numpy or numba"):
        MAKER.make_views(TARGETS, SAMPLES)


@needs_numba
def test_arrays_that_compiled_code_must_not_see_take_the_way_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not look where it reads: other shapes and types are for NumPy, which does."""
    monkeypatch.setenv(kernel.VARIABLE, "numba")
    params = MAKER.params(SAMPLES)
    assert np.array_equal(MAKER.make_views(TARGETS, SAMPLES, params=params.astype(np.int32)), VIEWS)
    flipped = np.ascontiguousarray(TARGETS[::-1])[::-1]
    assert np.array_equal(MAKER.make_views(flipped, SAMPLES[::1], params=params), VIEWS)
    for wrong in ((TARGETS, SAMPLES[:3], params), (TARGETS, SAMPLES, params[:3]), (TARGETS[:, :8], SAMPLES, params)):
        with pytest.raises(ValueError):
            MAKER.make_views(wrong[0], wrong[1], params=wrong[2])


@needs_numba
def test_nobody_waits_for_another_process_that_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel, "WORTH", 100)
    with FileLock(tmp_path / "fusionbench.lock"):
        assert kernel.compiled(101) is None and not kernel._state.tried
    assert kernel.compiled(99) is None, "it asks again after as much work"
    assert kernel.compiled(99) is not None and kernel._state.problem is None


def test_a_folder_of_caches_that_cannot_be_made_is_one_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, "0.68.1")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(kernel, "cache_folder", lambda: tmp_path / "file" / "numba")
    monkeypatch.setattr(kernel, "WORTH", 0)
    assert np.array_equal(MAKER.make_views(TARGETS, SAMPLES), VIEWS)
    assert "NotADirectoryError" in capsys.readouterr().err


@needs_numba
def test_machine_code_goes_to_the_folder_of_caches(tmp_path: Path) -> None:
    """And that of other packages where it always went."""
    code = (
        "import numba\n"
        "from fusionbench.synth import kernel\n"
        "assert kernel.compiled(1) is not None\n"
        "assert not numba.config.CACHE_DIR\n"
        "print(kernel.cache_folder())\n"
    )
    variables = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    variables |= {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), kernel.VARIABLE: "numba"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.is_relative_to(tmp_path) and list(folder.rglob("compiled.*.nbi"))


@needs_numba
def test_threads_that_ask_while_one_loads_wait_or_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that found the loading begun took it for failed, and told that numba cannot be used."""
    entered, load = threading.Event(), kernel._import

    def slow(wait: bool = True) -> types.ModuleType:
        entered.set()
        time.sleep(0.3)
        return load(wait)

    monkeypatch.setattr(kernel, "_import", slow)
    monkeypatch.setenv(kernel.VARIABLE, "numba")
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(MAKER.make_views, TARGETS, SAMPLES)
        entered.wait()
        rest = [threads.submit(MAKER.make_views, TARGETS, SAMPLES) for _ in range(3)]
        made = [one.result() for one in (first, *rest)]
    assert all(np.array_equal(one[0], VIEWS[0]) for one in made) and kernel._state.module is not None
