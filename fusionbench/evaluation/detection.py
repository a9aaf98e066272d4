"""Trains a torchvision detector on fused images with boxes, and runs it on others: fixed seeds and schedule.

Weights start at random: pretrained ones would have to be fetched, and know visible images better than fused ones. All
draws come from the seed; the same device, libraries and number of threads give the same detections, others nearly so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.core.progress import progress
from fusionbench.core.seeds import derive_seed
from fusionbench.evaluation.detection_scores import Detections
from fusionbench.evaluation.kept_training import KeptTraining
from fusionbench.sources.boxes import Boxes

Detector = Literal["mobilenet", "resnet50"]
NAMES = {"mobilenet": "fasterrcnn_mobilenet_v3_large_320_fpn", "resnet50": "fasterrcnn_resnet50_fpn"}
MOMENTUM, DECAY, CLIP = 0.9, 5e-4, 10.0
SHORT_SIDE = 320  # of smaller images, which are enlarged: the smallest anchors have 32 pixels
_LEAST = 0.01  # score of a detection


def need_torchvision() -> Any:
    """The package torchvision's detectors.

    Raises:
        UsageError: it is not installed, or not for this torch.
    """
    try:
        import torchvision.models.detection as found
    except (ImportError, RuntimeError) as error:
        raise UsageError(
            "Detection needs torchvision, in the release that belongs to the installed torch: "
            f"pip install 'fusionbench[detection]' ({str(error).splitlines()[0][:80]})"
        ) from error
    return found


def train_detector(
    image: Callable[[int], np.ndarray],
    boxes: Sequence[Boxes],
    classes: int,
    *,
    detector: Detector,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    device: torch.device | str = "cpu",
) -> torch.nn.Module:
    """A detector after ``steps`` of SGD with momentum on mirrored images, a warm-up and a cosine.

    A training that was stopped goes on (:class:`fusionbench.evaluation.kept_training.KeptTraining`).

    Args:
        image: place -> uint8 (h, w, 3).
        boxes: of every place; images without any teach what is background.

    Raises:
        UsageError: no torchvision.
        UnfinishedError: the time is over.
    """
    make = getattr(need_torchvision(), NAMES[detector])
    sizes = image(0).shape[:2]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "detector"))
        network = make(
            weights=None,
            weights_backbone=None,
            num_classes=classes + 1,
            min_size=max(SHORT_SIDE, min(sizes)),
            max_size=4 * max(SHORT_SIDE, *sizes),
            box_score_thresh=_LEAST,
            box_detections_per_img=100,
        ).to(device)
        rng = np.random.Generator(np.random.Philox(derive_seed(seed, "detector", "images")))
        optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=DECAY)
        warm = max(1, min(500, steps // 10))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / warm) * 0.5 * (1 + np.cos(np.pi * step / steps))
        )
        network.train()
        kept = KeptTraining(f"detector-{seed}", network, optimizer, schedule, rng, steps=steps, device=device)
        with progress("train a detector", steps, "steps", kept.step) as bar:
            for step in range(kept.step, steps):
                kept.stop_in_time(f"detector {seed}")
                chosen = [_sample(image, boxes, int(place), rng) for place in rng.integers(0, len(boxes), batch)]
                torch.manual_seed(derive_seed(seed, "detector", step))  # anchors and proposals are sampled
                images = [one.to(device) for one, _ in chosen]
                targets = [{key: value.to(device) for key, value in target.items()} for _, target in chosen]
                loss = sum(network(images, targets).values())
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
                optimizer.step()
                schedule.step()
                kept.advance()
                bar.advance()
    trained: torch.nn.Module = network.eval()
    return trained


def detect(network: torch.nn.Module, image: np.ndarray, device: torch.device | str = "cpu") -> Detections:
    """What a detector finds in one image, uint8 (h, w, 3), best first."""
    with torch.no_grad():
        [found] = network([_tensor(image).to(device)])
    labels = found["labels"].cpu().numpy() - 1
    corners = found["boxes"].double().cpu().numpy().reshape(-1, 4)
    return Detections(Boxes(corners, labels.astype(np.int64)), found["scores"].double().cpu().numpy())


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255


def _sample(
    image: Callable[[int], np.ndarray], boxes: Sequence[Boxes], place: int, rng: np.random.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    pixels, corners = _tensor(image(place)), boxes[place].corners.copy()
    if rng.random() < 0.5:
        pixels = pixels.flip(2)
        corners[:, [0, 2]] = pixels.shape[2] - corners[:, [2, 0]]
    labels = torch.from_numpy(boxes[place].classes + 1)
    return pixels, {"boxes": torch.from_numpy(corners).float(), "labels": labels}
