"""Videos and folders of frames: every bit of a lossless file, rates, flicker, and one line for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.images import encode_png, read_image
from fusionbench.evaluation.fusing.video import VideoReport, fuse_videos

av = pytest.importorskip("av")
NTSC = Fraction(30000, 1001)


def clip(count: int = 6, height: int = 47, width: int = 61, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def written(path: Path, frames: Sequence[np.ndarray], rate: Fraction = NTSC, codec: str = "ffv1") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        grey = frames[0].ndim == 2
        stream.pix_fmt = "gray" if grey else "bgr0" if codec == "ffv1" else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray" if grey else "rgb24")))
        container.mux(stream.encode(None))
    return path


def read(path: Path) -> tuple[list[np.ndarray], Fraction]:
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], rate


def mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a.astype(np.uint16) + b) // 2).astype(np.uint8)


def frames_in(folder: Path, frames: Sequence[np.ndarray], name: str = "{:04d}.png") -> Path:
    folder.mkdir()
    for number, frame in enumerate(frames, 1):
        (folder / name.format(number)).write_bytes(encode_png(frame))
    return folder


@pytest.mark.parametrize("ending", ["mkv", "avi"])
def test_lossless_keeps_every_bit_and_the_rate(tmp_path: Path, ending: str) -> None:
    a, b = clip(seed=1), clip(seed=2)
    files = written(tmp_path / "a.mkv", a), written(tmp_path / "b.avi", b)
    report = fuse_videos(*files, tmp_path / f"out.{ending}", mean)
    frames, rate = read(tmp_path / f"out.{ending}")
    assert (report.frames, report.height, report.width) == (6, 47, 61)
    assert rate == report.rate == NTSC
    assert all(np.array_equal(x, mean(y, z)) for x, y, z in zip(frames, a, b, strict=True))
    assert {path.name for path in tmp_path.iterdir()} == {"a.mkv", "b.avi", f"out.{ending}"}, "nothing is left behind"


def test_lossy_is_near_and_refuses_odd_sides(tmp_path: Path) -> None:
    smooth = [
        np.repeat(np.add.outer(np.arange(48), np.arange(64) + n)[..., None], 3, 2).astype(np.uint8) for n in range(5)
    ]
    file = written(tmp_path / "a.mkv", smooth)
    fuse_videos(file, file, tmp_path / "out.mp4", mean)
    frames, rate = read(tmp_path / "out.mp4")
    assert len(frames) == 5 and rate == NTSC
    assert np.abs(np.stack(frames).astype(int) - np.stack(smooth)).mean() < 3
    odd = written(tmp_path / "odd.mkv", clip(2))
    with pytest.raises(UsageError, match=r"H.264 takes even sides, not 47×61: write a lossless .mkv"):
        fuse_videos(odd, odd, tmp_path / "odd.mp4", mean)
    assert not (tmp_path / "odd.mp4").exists()


def test_grey_streams_arrive_grey(tmp_path: Path) -> None:
    grey, colour = [frame[..., 0] for frame in clip(seed=3)], clip(seed=4)
    files = written(tmp_path / "ir.mkv", grey), written(tmp_path / "vi.mkv", colour)
    seen = []

    def fuse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        seen.append((a.shape, b.shape))
        return a

    fuse_videos(*files, tmp_path / "out.mkv", fuse)
    assert set(seen) == {((47, 61), (47, 61, 3))}
    frames, _ = read(tmp_path / "out.mkv")
    assert all(np.array_equal(x, np.repeat(y[..., None], 3, 2)) for x, y in zip(frames, grey, strict=True))


def test_folders_are_matched_by_number(tmp_path: Path) -> None:
    a, b = clip(12, seed=5), clip(12, seed=6)
    folders = frames_in(tmp_path / "ir", a, "ir_{}.png"), frames_in(tmp_path / "vi", b, "{:04d}.png")
    report = fuse_videos(*folders, tmp_path / "fused", mean)
    assert report.rate is None and report.frames == 12
    for number in range(12):  # ir_10 comes after ir_9, not after ir_1
        fused = read_image(tmp_path / "fused" / f"ir_{number + 1}.png").pixels
        assert np.array_equal(fused, mean(a[number], b[number]))
    assert fuse_videos(*folders, tmp_path / "out.mkv", mean, rate=12.5).rate == Fraction(25, 2)
    frames, rate = read(tmp_path / "out.mkv")
    assert rate == Fraction(25, 2) and np.array_equal(frames[9], mean(a[9], b[9]))


def test_a_video_to_a_folder(tmp_path: Path) -> None:
    a = clip(3)
    file = written(tmp_path / "a.mkv", a)
    fuse_videos(file, file, tmp_path / "fused", mean)
    assert sorted(path.name for path in (tmp_path / "fused").iterdir()) == ["000001.png", "000002.png", "000003.png"]
    assert np.array_equal(read_image(tmp_path / "fused" / "000002.png").pixels, a[1])


def test_flicker_is_reported(tmp_path: Path) -> None:
    flat = [np.full((8, 8), 100 + step, np.uint8) for step in range(4)]
    folder = frames_in(tmp_path / "a", flat)
    flip = iter([0, 50, 0, 50])
    report = fuse_videos(folder, folder, tmp_path / "out", lambda a, b: np.full_like(a, next(flip)))
    assert (report.change_a, report.change_b, report.change_fused, report.flicker) == (1, 1, 50, 50)
    assert VideoReport(1, 8, 8, None, 0, 0, 0).flicker == 1 and VideoReport(2, 8, 8, None, 0, 0, 1).flicker == float(
        "inf"
    )


def test_lengths_sizes_and_rates_that_differ(tmp_path: Path) -> None:
    long, short = written(tmp_path / "long.mkv", clip(9)), written(tmp_path / "short.mkv", clip(4))
    small, slow = (
        written(tmp_path / "small.mkv", clip(9, 40, 61)),
        written(tmp_path / "slow.mkv", clip(9), Fraction(25)),
    )
    out = tmp_path / "out.mkv"
    for other, reason in (
        (short, "short.mkv: ends after 4 frames, .*long.mkv goes on"),
        (small, "small.mkv: frame 1 has 40×61 pixels, the first one of .*long.mkv 47×61"),
        (slow, "long.mkv has 29.97 frames a second, .*slow.mkv 25: convert one"),
    ):
        with pytest.raises(DataError, match=reason) as error:
            fuse_videos(long, other, out, mean)
        assert "\n" not in str(error.value) and not out.exists()
    one, two = written(tmp_path / "one.avi", clip(9)), written(tmp_path / "two.avi", clip(4))
    with pytest.raises(DataError, match=r"one.avi has 9 frames, .*two.avi 4"):
        fuse_videos(one, two, out, lambda a, b: pytest.fail("found before the first frame"))


def test_frames_without_partner_or_number(tmp_path: Path) -> None:
    a, b = frames_in(tmp_path / "a", clip(4)), frames_in(tmp_path / "b", clip(3))
    with pytest.raises(DataError, match=r"1 frames have no partner: no 4 in .*b$"):
        fuse_videos(a, b, tmp_path / "out", mean)
    (b / "x4.png").write_bytes((a / "0004.png").read_bytes())
    (b / "y4.png").write_bytes((a / "0004.png").read_bytes())
    with pytest.raises(DataError, match=r"x4.png and y4.png are both frame 4; rename one"):
        fuse_videos(a, b, tmp_path / "out", mean)
    (a / "cover.png").write_bytes((a / "0004.png").read_bytes())
    with pytest.raises(DataError, match=r"cover.png: has no number"):
        fuse_videos(a, b, tmp_path / "out", mean)


@pytest.mark.parametrize("ending", ["mkv", "avi", "mp4"])
def test_a_truncated_video_is_one_line(tmp_path: Path, ending: str) -> None:
    whole = written(tmp_path / f"a.{ending}", clip(40, 48, 64), codec="mpeg4" if ending == "mp4" else "ffv1")
    content = whole.read_bytes()
    part = tmp_path / f"b.{ending}"
    for share in (0.02, 0.5, 0.9):
        part.write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError) as error:
            fuse_videos(part, part, tmp_path / "out.mkv", mean)
        assert f"b.{ending}" in str(error.value) and "\n" not in str(error.value)
        assert not (tmp_path / "out.mkv").exists()


def test_usage(tmp_path: Path) -> None:
    file, folder = written(tmp_path / "a.mkv", clip(2)), frames_in(tmp_path / "f", clip(2))
    cases: list[tuple[str, Callable[[], object]]] = [
        ("two video files, or two folders", lambda: fuse_videos(file, folder, tmp_path / "o.mkv", mean)),
        ("a video ends in", lambda: fuse_videos(file, file, tmp_path / "o.gif", mean)),
        ("lossless video ends in", lambda: fuse_videos(file, file, tmp_path / "o.mp4", mean, lossless=True)),
        ("H.264 video ends in", lambda: fuse_videos(file, file, tmp_path / "o.avi", mean, lossless=False)),
        ("is there already; use --force", lambda: fuse_videos(file, file, file, mean)),
        ("is there already; name a new folder", lambda: fuse_videos(folder, folder, folder, mean, force=True)),
        ("videos keep their rate", lambda: fuse_videos(file, file, tmp_path / "o.mkv", mean, rate=3)),
        ("rate=-1 is not between", lambda: fuse_videos(folder, folder, tmp_path / "o.mkv", mean, rate=-1)),
        ("quality=90", lambda: fuse_videos(file, file, tmp_path / "o.mkv", mean, quality=90)),
        ("fuse_frame made float64", lambda: fuse_videos(file, file, tmp_path / "o.mkv", lambda a, b: a / 2)),
    ]
    for reason, call in cases:
        with pytest.raises(UsageError, match=reason):
            call()
    with pytest.raises(DataError, match=r"none.mkv: no such file"):
        fuse_videos(tmp_path / "none.mkv", file, tmp_path / "o.mkv", mean)


def test_a_source_is_never_replaced(tmp_path: Path) -> None:
    source = written(tmp_path / "a.mkv", clip(2))
    before = source.read_bytes()
    (tmp_path / "link.mkv").symlink_to(source)
    for out in (source, tmp_path / "link.mkv"):
        with pytest.raises(UsageError, match="one of the sources, which are never replaced"):
            fuse_videos(source, source, out, mean, force=True)
    assert source.read_bytes() == before


def test_a_variable_rate_is_named(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 6, 8, "bgr0"
        for time in (0, 1, 40):
            frame = av.VideoFrame.from_ndarray(np.zeros((6, 8, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DataError, match="of a variable rate"):
        fuse_videos(tmp_path / "a.mkv", tmp_path / "a.mkv", tmp_path / "out.mkv", np.maximum)


def test_an_error_of_the_fusion_leaves_what_was_there(tmp_path: Path) -> None:
    file, out = written(tmp_path / "a.mkv", clip(3)), tmp_path / "out.mkv"
    fuse_videos(file, file, out, mean)
    before = out.read_bytes()

    def fails(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        fuse_videos(file, file, out, fails, force=True)
    assert out.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["a.mkv", "out.mkv"]
    fuse_videos(file, file, out, lambda a, b: 255 - a, force=True)
    assert out.read_bytes() != before
