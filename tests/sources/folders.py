"""Writes small folders in the layouts of the sources."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, height: int, width: int, grey: bool = False) -> np.ndarray:
    """A bright disc with a pattern on black: something that can be cut out."""
    y, x = np.mgrid[0:height, 0:width]
    disc = np.hypot(y - height / 2, x - width / 2) < 0.35 * min(height, width)
    pattern = 120 + ((y * (3 + seed % 5) + x * (2 + seed % 7)) % 90)
    image = np.where(disc, pattern, 0).astype(np.uint8)
    return image if grey else np.stack([image, image // 2, 255 - image // 3], -1)


def save(path: Path, image: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)  # type: ignore[arg-type]


def celeba(root: Path, size: tuple[int, int] = (218, 178), folder: str = "img_align_celeba") -> Path:
    """Nine pictures: five to train, two to validate, one to test, one that is listed and not there."""
    lines = []
    for number, part in enumerate([0, 0, 0, 0, 0, 1, 1, 2, 2], 1):
        lines.append(f"{number:06d}.jpg {part}")
        if number != 9:
            save(root / folder / f"{number:06d}.jpg", picture(number, *size), quality=90)
    (root / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    return root


def celeba_half(root: Path) -> Path:
    return celeba(root, (109, 89), "half_89x109")


def coil(root: Path) -> Path:
    """Twenty objects in COIL-20 and fifty in COIL-100, at three turns each."""
    for number in range(1, 21):
        for turn in range(3):
            save(root / "coil20" / f"obj{number}__{turn}.png", picture(number + turn, 128, 128, grey=True))
    for number in range(1, 51):
        save(root / "coil100" / f"obj{number}__{5 * (number % 3)}.png", picture(number, 128, 128))
    return root


def mixed(root: Path) -> Path:
    """Pictures of one size in two classes, in several formats."""
    for i, name in enumerate(("b/z.png", "a/one.jpg", "a/two.tif", "b/three.webp", "b/four.bmp")):
        save(root / name, picture(i, 40, 50))
    return root


def tless(root: Path, bop: bool = True, objects: tuple[int, ...] = (1, 3, 19, 20), images: int = 3) -> Path:
    """Training images of T-LESS in BOP's layout, or in the original one."""
    for number in objects:
        folder = root / "train_primesense" / (f"{number:06d}" if bop else f"{number:02d}")
        annotation = {}
        for i in range(images):
            image = picture(number + i, 400, 400)
            image[image[..., 0] == 0] = 0  # black around the object
            save(folder / "rgb" / (f"{i:06d}.png" if bop else f"{i:04d}.png"), image)
            if bop:
                mask = np.where(image[..., 0] > 0, 255, 0).astype(np.uint8)
                save(folder / "mask_visib" / f"{i:06d}_000000.png", mask)
            annotation[i] = number
        pose = [1.0] + [0.0] * 8
        if bop:
            table = {str(i): [{"cam_R_m2c": pose, "cam_t_m2c": [0, 0, 1], "obj_id": n}] for i, n in annotation.items()}
            (folder / "scene_gt.json").write_text(json.dumps(table))
            (folder / "scene_camera.json").write_text("{}")
        else:
            text = "".join(
                f"{i}:\n- cam_R_m2c: {pose}\n  cam_t_m2c: [0, 0, 1]\n  obj_bb: [1, 2, 3, 4]\n  obj_id: {n}\n"
                for i, n in annotation.items()
            )
            (folder / "gt.yml").write_text(text)
            (folder / "info.yml").write_text("0:\n  cam_K: [1, 0, 0, 0, 1, 0, 0, 0, 1]\n")
    return root


def tless_release(root: Path, monkeypatch: object, counts: tuple[int, int, int] = (5, 4, 3)) -> Path:
    """Three small LMDBs in the layout of the release; the source is told to expect these."""
    import io
    from dataclasses import replace

    import lmdb

    from fusionbench.core.io import file_sha256
    from fusionbench.sources.tless_release import FusionTLessRelease

    parts = {}
    for (split, part), count in zip(FusionTLessRelease.parts.items(), counts, strict=True):
        folder = root / part.folder
        folder.mkdir(parents=True)
        with lmdb.open(str(folder), map_size=1 << 22) as file, file.begin(write=True) as writing:
            for i in range(count):
                height, width = part.size
                tiles = [picture(10 * i + tile, height, width, grey=True) for tile in range(part.tiles)]
                image = np.concatenate(tiles, axis=1)
                if split == "occluders" and i % 2:  # half of the cut-outs say what is transparent
                    image = np.stack([image, image, image, np.where(image > 0, 255, 0).astype(np.uint8)], -1)
                buffer = io.BytesIO()
                Image.fromarray(image).save(buffer, "PNG")
                writing.put(str(i).encode(), buffer.getvalue())
        path = folder / "data.mdb"
        parts[split] = replace(part, count=count, bytes=path.stat().st_size, sha256=file_sha256(path))
    monkeypatch.setattr(FusionTLessRelease, "parts", parts)  # type: ignore[attr-defined]
    return root


def pairs(root: Path, a: str, b: str, stems: tuple[str, ...] = ("01", "02", "x3")) -> Path:
    """Pairs of 12×16 pixels: view 0 grey PNG, view 1 RGB BMP."""
    for number, stem in enumerate(stems):
        save(root / a / f"{stem}.png", picture(number + 5, 12, 16, grey=True))
        save(root / b / f"{stem}.bmp", picture(number, 12, 16))
    return root


def stacks(root: Path, *places: str) -> Path:
    """Two stacks of two pictures in the first place, of three in the second, named as those of Lytro."""
    for more, place in enumerate(places):
        for number, letter in ((n, letter) for n in (1, 2) for letter in "ABC"[: 2 + more]):
            save(root / place / f"lytro-{number:02d}-{letter}.png", picture(9 * number + ord(letter) + more, 24, 32))
    return root


def real_mff(root: Path) -> Path:
    """Two pairs with a truth: folders imageA, imageB and Fusion."""
    for place, letter in (("imageA", "A"), ("imageB", "B"), ("Fusion", "F")):
        for number in (1, 10):
            save(root / place / f"{number}_{letter}.png", picture(number + ord(letter), 24, 32))
    return root


def scenes(root: Path) -> Path:
    """Two scenes of two exposures, a folder each, as MEFB has them; the brighter one comes first by name."""
    for number, name in enumerate(("Arno", "Cave")):
        for level, file in ((1, f"{name}_B.png"), (4, "_MDF0001.png")):
            save(root / name / file, picture(number, 24, 32) // level)
        (root / name / "ev.txt").write_text("-2 0")
    return root


def labelled(root: Path, labels: str = "labels") -> Path:
    """Three grey pairs of 24×32 pixels with maps of three classes, as in MSRS."""
    for number in range(1, 4):
        label = np.zeros((24, 32), np.uint8)
        label[4:10, 4 + number : 12], label[12:20, 10:14] = 1, 2
        for folder, image in (("ir", label * 90), ("vi", label * 40 + number), (labels, label)):
            save(root / folder / f"{number * 100:04d}.png" if number > 1 else root / folder / "0001.png", image)
    return root


def boxed(root: Path, a: str, b: str, annotations: str, name: str) -> Path:
    """Three pairs of 24×32 pixels with a box each, as VOC writes it."""
    pairs(root, a, b)
    for place, path in enumerate(sorted((root / a).glob("*.png"))):
        height, width = np.array(Image.open(path)).shape[:2]
        sides = f"<xmin>{place}</xmin><ymin>2</ymin><xmax>{place + 5}</xmax><ymax>9</ymax>"
        size = f"<size><width>{width}</width><height>{height}</height></size>"
        text = f"<annotation>{size}<object><name>{name}</name><bndbox>{sides}</bndbox></object></annotation>"
        (root / annotations).mkdir(exist_ok=True)
        (root / annotations / f"{path.stem}.xml").write_text(text)
    return root


def yolo(root: Path) -> Path:
    """Pairs with YOLO's text files beside them, one of which is missing, as there where nothing is to be seen."""
    pairs(root, "ir", "vi")
    (root / "labels").mkdir()
    (root / "classes.txt").write_text("person\ncar\n")
    (root / "labels" / f"{min(path.stem for path in (root / 'ir').iterdir())}.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    return root
