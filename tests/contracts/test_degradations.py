"""Every registered family of degradations keeps the contract, and makes the bytes that were pinned."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusionbench.core.errors import UsageError
from fusionbench.synth import arrays
from fusionbench.synth.degradations import DEGRADATIONS, SEVERITIES, Degraded, degrade, list_degradations

GOLDEN = Path(__file__).parents[1] / "golden" / "degradations.json"
IDENTITY: dict[str, Any] = {"dataset": "made", "split": "all", "seed": 3}
NUMBERS = np.array([0, 5, 1 << 30])
ODD = (37, 53)


@pytest.fixture(params=list_degradations())
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def tensors_stay_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "cpu_tensors_by_numpy", False)


def pictures(count: int, height: int, width: int) -> np.ndarray:
    """Pairs with slopes, edges and texture, of their own: uint8 (n, 2, h, w)."""
    y, x = np.mgrid[:height, :width]
    made = np.empty((count, 2, height, width), np.uint8)
    for number in range(count):
        made[number, 0] = (3 * x + y + 60 * ((y // 9 + x // 7 + number) % 2)) % 200 + 20
        made[number, 1] = (2 * y + 50 * ((x // 11 + y // 5) % 2) + 7 * ((3 * x + 5 * y + number) % 6)) % 220 + 15
    return made


def parts(made: Degraded) -> list[np.ndarray | None]:
    found = [None if value is None else np.asarray(value) for value in (made.views, made.field, made.lost)]
    return found


def same(one: Degraded, two: Degraded) -> bool:
    pairs = zip(parts(one), parts(two), strict=True)
    return all((a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b)) for a, b in pairs)  # type: ignore[union-attr]


def test_bits_are_equal_from_numpy_and_torch_alone_and_in_a_batch(family: str) -> None:
    clean = pictures(3, *ODD)
    before = clean.copy()
    for severity in (1, 5):
        made = degrade(clean, family, severity, samples=NUMBERS, epoch=2, **IDENTITY)
        views, field, lost = parts(made)
        assert views is not None and views.dtype == np.uint8 and views.shape == clean.shape
        assert field is None or (field.dtype == np.int32 and field.shape == clean.shape)
        assert lost is None or (lost.dtype == np.uint8 and lost.shape == clean.shape and lost.max() <= 1)
        on_tensors = degrade(torch.from_numpy(clean), family, severity, samples=NUMBERS, epoch=2, **IDENTITY)
        assert isinstance(on_tensors.views, torch.Tensor) and same(made, on_tensors)
        for index in range(3):
            one, number = slice(index, index + 1), NUMBERS[index : index + 1]
            alone = degrade(clean[one], family, severity, samples=number, epoch=2, **IDENTITY)
            assert same(Degraded(*(None if v is None else v[one] for v in (views, field, lost))), alone)
        wide = np.repeat(np.repeat(clean, 2, axis=2), 2, axis=3)[:, :, ::2, ::2]
        assert not wide.flags.c_contiguous
        assert same(made, degrade(wide, family, severity, samples=NUMBERS, epoch=2, **IDENTITY))
    assert np.array_equal(clean, before)


def test_what_is_drawn_depends_on_what_addresses_it_alone(family: str) -> None:
    clean = pictures(3, *ODD)
    made = degrade(clean, family, 4, samples=NUMBERS, **IDENTITY)
    others = [
        degrade(clean, family, 4, samples=NUMBERS, **{**IDENTITY, key: value})
        for key, value in (("dataset", "other"), ("split", "test"), ("seed", 4), ("epoch", 1))
    ]
    others.append(degrade(clean, family, 4, samples=NUMBERS + 1, **IDENTITY))
    assert same(made, degrade(clean, family, 4, samples=NUMBERS, **IDENTITY))
    drawn = family != "block/1"  # nothing is drawn for it
    assert [same(made, other) for other in others] == [not drawn] * 5


def test_damage_grows_with_severity_and_nothing_happens_at_0(family: str) -> None:
    clean, numbers = pictures(24, 64, 64), np.arange(24)
    assert degrade(clean, family, 0, samples=numbers, **IDENTITY).views is clean
    record = DEGRADATIONS.get(family)
    mse = []
    for severity in SEVERITIES:
        views = degrade(clean, family, severity, samples=numbers, **IDENTITY).views.astype(np.int64)
        mse.append(float(((views - clean) ** 2).mean()))
        for view in (0, 1):
            assert record.harms(view) == bool((views[:, view] != clean[:, view]).any())
    assert 0 < mse[0] < mse[1] < mse[2] < mse[3] < mse[4]  # PSNR against the clean views falls
    assert len(set(record.levels)) == 5 and all(len(level) == len(record.fields) for level in record.levels)
    assert record.name == family and record.title and record.about.endswith(".")


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (8, 8), (9, 7)])
def test_small_pictures_are_degraded_or_refused_in_one_line(family: str, size: tuple[int, int]) -> None:
    clean = np.full((2, 2, *size), 90, np.uint8)
    record = DEGRADATIONS.get(family)
    for severity in SEVERITIES:
        reach = record.reach(record.levels[severity - 1], *size)
        if reach and reach >= min(size):
            with pytest.raises(UsageError, match=f"^{family}: moves a view by up to {reach} pixels[^\n]*$"):
                degrade(clean, family, severity, samples=NUMBERS[:2], **IDENTITY)
            continue
        made = degrade(clean, family, severity, samples=NUMBERS[:2], **IDENTITY)
        assert made.views.shape == clean.shape
        assert same(made, degrade(torch.from_numpy(clean), family, severity, samples=NUMBERS[:2], **IDENTITY))


def test_channels_of_a_picture_are_harmed_alike(family: str) -> None:
    """Planes of one view: what covers or moves it is the same, and only pixel noise is of their own."""
    pair = pictures(1, *ODD)
    planes = np.concatenate([pair, pair[:, 1:], pair[:, 1:]], axis=1)
    made = degrade(planes, family, 4, samples=NUMBERS[:1], planes=(0, 1, 1, 1), **IDENTITY)
    grey = degrade(pair, family, 4, samples=NUMBERS[:1], **IDENTITY)
    assert np.array_equal(made.views[:, :2], grey.views)
    noisy = family in ("gaussian-noise/1", "poisson/1", "lowlight/1")
    assert np.array_equal(made.views[:, 1], made.views[:, 2]) != noisy
    if made.lost is not None:
        assert np.array_equal(made.lost[:, 1], made.lost[:, 3])


def test_none_of_it_is_an_empty_batch(family: str) -> None:
    empty = np.zeros((0, 2, 64, 64), np.uint8)
    made = degrade(empty, family, 3, samples=np.empty(0, np.int64), **IDENTITY)
    assert made.views.shape == empty.shape


def digest_of(made: Degraded) -> str:
    found = hashlib.sha256()
    for value in parts(made):
        found.update(b"none" if value is None else np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


def test_bytes_are_those_that_were_pinned(family: str, regen: bool) -> None:
    """Of a change of these bytes: it is a new version of the family, with a name of its own."""
    clean = pictures(3, *ODD)
    found = {
        str(severity): digest_of(degrade(clean, family, severity, samples=NUMBERS, epoch=1, **IDENTITY))
        for severity in SEVERITIES
    }
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    if regen:
        text = json.dumps({**golden, family: found}, indent=1, sort_keys=True) + "\n"
        GOLDEN.write_text(text, encoding="utf-8")
        return
    assert found == golden[family]
