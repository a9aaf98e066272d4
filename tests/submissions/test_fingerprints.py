"""Fingerprints: the same content in other files, near-copies, and what is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from fusionbench.core.errors import DataError
from fusionbench.submissions.fingerprints import (
    NEAR,
    Content,
    Fingerprint,
    NearVector,
    PixelDigest,
    copy_problems,
    copy_remarks,
    likeness,
    read_fingerprint,
    save_fingerprint,
    weights_digest,
)
from fusionbench.submissions.pixel_vectors import PixelVector

RNG = np.random.default_rng(0)
TARGETS = RNG.integers(0, 256, (40, 16, 16), np.uint8)


def fingerprint(who: str, number: str, exact: str = "0", near: str | None = None, **changes: str) -> Fingerprint:
    content = Content(kind=changes.pop("kind", "weights"), exact=exact * 64, near=near)  # type: ignore[arg-type]
    made = {"submission": number * 64, "submitter": who, "title": f"{who} {number}", "dataset": "d" * 64} | changes
    return Fingerprint(content=content, **made)


def accepted(root: Path, one: Fingerprint, model: str = "mine") -> Path:
    folder = root / "digits" / model / one.submission[:12]
    save_fingerprint(folder, one)
    (folder / "result.json").write_text("{}")
    return folder


def test_tensors_count_and_not_the_file(tmp_path: Path) -> None:
    tensors = {name: RNG.normal(size=(3, 2)).astype(np.float32) for name in "abc"}
    save_file(tensors, tmp_path / "one")
    save_file(dict(reversed(tensors.items())), tmp_path / "again", metadata={"by": "Eve"})
    assert (tmp_path / "one").read_bytes() != (tmp_path / "again").read_bytes()
    expected = weights_digest(tmp_path / "one")
    assert weights_digest(tmp_path / "again") == expected
    others = [
        {**tensors, "a": tensors["a"].reshape(2, 3)},
        {**tensors, "a": tensors["a"].view(np.int32)},
        {**tensors, "a": tensors["b"], "b": tensors["a"]},
        {**tensors, "a": np.nextafter(tensors["a"], np.float32(9))},
    ]
    for other in others:
        save_file(other, tmp_path / "other")
        assert weights_digest(tmp_path / "other") != expected


@pytest.mark.parametrize(
    "content", [b"", b"x" * 7, b"\xff" * 64, b"\x02" + bytes(7) + b"[]", b"\x02" + bytes(7) + b"{"]
)
def test_what_is_no_file_of_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights").write_bytes(content)
    with pytest.raises(DataError, match="not a safetensors file"):
        weights_digest(tmp_path / "weights")


def test_weights_of_somebody_else_in_any_row_of_the_data_set(tmp_path: Path) -> None:
    accepted(tmp_path, fingerprint("Ada", "a", dataset="round 1 of d"))
    (found,) = copy_problems(fingerprint("Eve", "e"), tmp_path, "digits")
    assert found.startswith("these weights are those of Ada a (submission aaaaaaaaaaaa), which is not the same")
    assert copy_problems(fingerprint("Eve", "e", exact="1"), tmp_path, "digits") == []
    assert copy_problems(fingerprint("Eve", "e", kind="predictions"), tmp_path, "digits") == []
    assert copy_problems(fingerprint("Ada", "b"), tmp_path, "digits") == [], "in another round"
    assert copy_problems(fingerprint("Eve", "e"), tmp_path, "other") == []


def test_the_same_again_has_to_say_what_it_replaces(tmp_path: Path) -> None:
    accepted(tmp_path, fingerprint("Ada", "a"))
    assert copy_problems(fingerprint("Ada", "a"), tmp_path, "digits") == [], "the same submission"
    (found,) = copy_problems(fingerprint("Ada", "b"), tmp_path, "digits")
    assert found.endswith(f"--replaces {'a' * 64}")
    assert copy_problems(fingerprint("Ada", "b"), tmp_path, "digits", "a" * 64) == []


def near(error: np.ndarray, draws: int = 2) -> str:
    vector = NearVector(TARGETS, 40, inputs=2)
    for index in range(40):
        made = np.clip(TARGETS[index] + error[index], 0, 255).astype(np.uint8)
        vector.add(index, np.stack([[made] * draws] * 3))
    return vector.text()


def test_near_copies_of_somebody_else(tmp_path: Path) -> None:
    one, other = (RNG.integers(-40, 40, TARGETS.shape) for _ in range(2))
    accepted(tmp_path, fingerprint("Ada", "a", near=near(one), kind="predictions"))
    jittered = near(one + RNG.integers(-3, 4, one.shape), draws=5)
    (found,) = copy_problems(fingerprint("Eve", "e", "1", jittered, kind="predictions"), tmp_path, "digits")
    assert "are nearly those of Ada a" in found and f"limit {NEAR}" in found
    for who, values in (("Eve", near(other)), ("Ada", jittered), ("Eve", ""), ("Eve", "AQI=")):
        assert copy_problems(fingerprint(who, "e", "1", values, kind="predictions"), tmp_path, "digits") == []


def test_likeness_is_the_cosine() -> None:
    import base64

    values = RNG.integers(-128, 128, (6, 50)).astype(np.int8)
    texts = [base64.b64encode(row.tobytes()).decode() for row in values]
    exact = values.astype(float)
    length = np.linalg.norm(exact, axis=1)
    assert np.allclose(likeness(texts[0], texts), exact @ exact[0] / length / length[0], atol=1e-6)
    assert likeness(texts[0], ["", texts[0][:-4], "====", "A" * len(texts[0])]).tolist() == [0, 0, 0, 0]


def test_pixels_count_with_their_shapes_and_names() -> None:
    digests = set()
    for name, pixels in [
        ("a", np.zeros((2, 8))),
        ("a", np.zeros((4, 4))),
        ("b", np.zeros((2, 8))),
        ("a", np.ones((2, 8))),
    ]:
        digest = PixelDigest()
        digest.add(name, pixels.astype(np.uint8))
        digests.add(digest.hexdigest())
    assert len(digests) == 4


def test_a_damaged_one_stops_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accepted(tmp_path, fingerprint("Ada", "a"))
    (accepted(tmp_path, fingerprint("Bob", "b", "1")) / "fingerprint.json").write_text("{")
    (accepted(tmp_path, fingerprint("Joe", "c", "2")) / "result.json").unlink()
    assert copy_problems(fingerprint("Eve", "e", "1"), tmp_path, "digits") == []
    assert "not a fusionbench.fingerprint/1 file" in capsys.readouterr().err
    assert copy_problems(fingerprint("Eve", "e", "2"), tmp_path, "digits") == [], "accepting it did not end"
    assert len(copy_problems(fingerprint("Eve", "e"), tmp_path, "digits")) == 1


@pytest.mark.parametrize("change", [{"near": "A" * 40000}, {"near": "A\n"}, {"exact": "x"}, {"more": 1}])
def test_fingerprints_that_are_none(tmp_path: Path, change: dict[str, object]) -> None:
    made = msgspec.to_builtins(fingerprint("Ada", "a"))
    made["content"] |= change
    (tmp_path / "fingerprint.json").write_text(json.dumps(made))
    with pytest.raises(DataError, match=r"not a fusionbench\.fingerprint/1"):
        read_fingerprint(tmp_path / "fingerprint.json")


def test_brightness_hides_no_copy() -> None:
    import base64

    errors = RNG.integers(-50, 51, (4, 64))
    one, brighter = (base64.b64encode(values.astype(np.int8).tobytes()).decode() for values in (errors, errors + 60))

    (found,) = likeness(one, [brighter])
    assert found > NEAR


def test_near_copies_of_ones_own_are_a_remark(tmp_path: Path) -> None:
    one, other = (RNG.integers(-40, 40, TARGETS.shape) for _ in range(2))
    accepted(tmp_path, fingerprint("Ada", "a", near=near(one), kind="predictions"))
    mine = fingerprint("Ada", "b", "1", near(one + 1), kind="predictions")
    (found,) = copy_remarks(mine, tmp_path, "digits")
    assert "Ada a" in found and "of the same submitter: a further try" in found
    assert copy_remarks(mine, tmp_path, "digits", "a" * 64) == [], "it replaces that row"
    assert copy_remarks(fingerprint("Ada", "b", "1", near(other), kind="predictions"), tmp_path, "digits") == []


def test_near_copies_of_fused_images_are_a_remark_and_no_problem(tmp_path: Path) -> None:
    def fused(images: np.ndarray) -> str:
        vector = PixelVector(len(images))
        for index, image in enumerate(images):
            vector.add(index, image.astype(np.uint8))
        return vector.text()

    images = RNG.integers(30, 200, (3, 40, 40))
    accepted(tmp_path, fingerprint("Ada", "a", near=fused(images), kind="predictions"))
    copy = fingerprint("Eve", "e", "1", fused(images + 1), kind="predictions")
    assert copy_problems(copy, tmp_path, "digits", of_pairs=True) == []
    (found,) = copy_remarks(copy, tmp_path, "digits", of_pairs=True)
    assert "of somebody else (RMS 0.00 grey levels)" in found
    other = fingerprint("Eve", "e", "1", fused(images[:, ::-1]), kind="predictions")
    assert copy_remarks(other, tmp_path, "digits", of_pairs=True) == []


def test_predictions_that_say_nothing_are_not_taken_for_copies() -> None:
    """Two models that hardly learned anything predict nearly one grey: they err by the targets, both of them."""
    rng = np.random.default_rng(2)
    targets = np.kron(rng.integers(0, 256, (20, 4, 4)), np.ones((4, 4))).astype(np.uint8)

    def near(share: float, seed: int) -> str:
        vector, noise = NearVector(targets, 20, inputs=1), np.random.default_rng(seed).normal(0, 4, targets.shape)
        for index in range(20):
            made = np.clip(128 + share * (targets[index] - 128.0) + noise[index], 0, 255).astype(np.uint8)
            vector.add(index, np.stack([made[None]] * 2))
        return vector.text()

    assert near(0.1, 0) == "" and likeness(near(0.1, 0), [near(0.1, 1)]).tolist() == [0.0]
    assert near(0.6, 0) != "" and likeness(near(0.6, 0), [near(0.6, 0)])[0] == pytest.approx(1, abs=1e-6)
