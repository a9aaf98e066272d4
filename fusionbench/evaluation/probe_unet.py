"""A small U-Net in place of the probe's closed-form head, for who has the time: it sees shapes, and has training noise.

    x ─► 16 ─► 16 ──────────────────────────► cat ─► 16 ─► logits of background and classes
               └ ↓2 ─► 32 ─► 32 ──────► cat ─► 32 ┘↑2
                             └ ↓2 ─► 64 ─► 64 ┘↑2

3×3 convolutions, group norm, ReLU; every channel is brought to mean 0 and deviation 1 over the set. Trained by Adam on
mirrored crops, with cross-entropy in which a class weighs one over the root of its pixels; scores are log odds of a
class. All draws come from the seed; the same device and number of threads give the same bits, others nearly the same.

Source: O. Ronneberger, P. Fischer, T. Brox: U-Net, MICCAI 2015, at a fraction of its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.core.progress import progress
from fusionbench.core.seeds import derive_seed
from fusionbench.evaluation.kept_training import KeptTraining
from fusionbench.evaluation.probe_features import Levels
from fusionbench.evaluation.probe_head import Folds
from fusionbench.training.safe_convolutions import to_training_layout

WIDTH, BATCH, CROP, RATE = 16, 4, 128, 3e-3


class SmallUNet(nn.Module):
    """Logits (N, classes + 1, H, W) of images (N, channels, H, W) of any size.

    Example:
        >>> import torch
        >>> from fusionbench.evaluation.probe_unet import SmallUNet
        >>> net = SmallUNet(channels=1, classes=2)
        >>> net(torch.zeros(1, 1, 21, 30)).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([1, 3, 21, 30]), 118339)
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first = _twice(channels, WIDTH)
        self.second = _twice(WIDTH, 2 * WIDTH)
        self.third = _twice(2 * WIDTH, 4 * WIDTH)
        self.up_second = _twice(6 * WIDTH, 2 * WIDTH)
        self.up_first = _twice(3 * WIDTH, WIDTH)
        self.logits = nn.Conv2d(WIDTH, classes + 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        x = F.pad(images, (0, -width % 4, 0, -height % 4), mode="replicate")
        first = self.first(x)
        second = self.second(F.max_pool2d(first, 2))
        third = self.third(F.max_pool2d(second, 2))
        second = self.up_second(torch.cat((second, F.interpolate(third, scale_factor=2.0)), 1))
        first = self.up_first(torch.cat((first, F.interpolate(second, scale_factor=2.0)), 1))
        return cast(Tensor, self.logits(first))[..., :height, :width]


def _twice(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (before, after):
        layers += [nn.Conv2d(inputs, after, 3, padding=1, bias=False), nn.GroupNorm(4, after), nn.ReLU()]
    return nn.Sequential(*layers)


def unet_scores(
    channels: Sequence[Sequence[np.ndarray]],
    truth: Sequence[np.ndarray],
    folds: Folds,
    *,
    steps: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> list[np.ndarray]:
    """Scores of every frame's pixels by the network that was trained on the other folds: float64 (h, w, classes).

    Args:
        channels: of every channel the images, uint8 (h, w), frame by frame.
        truth: of every frame, bool (h, w, classes).
        steps: of training, for each fold.

    Raises:
        UnfinishedError: the time is over.
    """
    images = _standardised(channels)
    labels = [torch.from_numpy(_index_map(one)) for one in truth]
    scores: list[np.ndarray | None] = [None] * len(images)
    for fold, frames in enumerate(folds.trains):
        own, name = derive_seed(seed, "probe", fold), f"unet-{len(channels)}-{seed}-{fold}"
        title = f"U-Net {fold + 1} of {len(folds.trains)} of the probe"
        network = _train(images, labels, frames, truth[0].shape[2], steps, own, device, name, title)
        for frame in np.flatnonzero(folds.of == fold):
            with torch.no_grad():
                logits = network(images[frame][None].to(device, memory_format=torch.channels_last))[0].double().cpu()
            rest = torch.stack([logits[[k for k in range(len(logits)) if k != c]].logsumexp(0)
                                for c in range(1, len(logits))])  # fmt: skip
            scores[frame] = (logits[1:] - rest).permute(1, 2, 0).numpy()
    return [one for one in scores if one is not None]


def _standardised(channels: Sequence[Sequence[np.ndarray]]) -> list[Tensor]:
    """Every frame as float32 (channels, h, w), each channel with mean 0 and deviation 1 over the set."""
    levels = [Levels.of(list(images)) for images in channels]
    frames = []
    for planes in zip(*channels, strict=True):
        scaled = [(256.0 * plane - one.mean) / one.deviation for plane, one in zip(planes, levels, strict=True)]
        frames.append(torch.from_numpy(np.stack(scaled).astype(np.float32)))
    return frames


def _index_map(shown: np.ndarray) -> np.ndarray:
    """int64 (h, w): 0 for background, 1 + place for a class, of bool (h, w, classes)."""
    found: np.ndarray = np.where(shown.any(2), 1 + shown.argmax(2), 0).astype(np.int64)
    return found


def _train(
    images: Sequence[Tensor],
    labels: Sequence[Tensor],
    frames: Sequence[int],
    classes: int,
    steps: int,
    seed: int,
    device: torch.device | str,
    name: str,
    title: str,
) -> SmallUNet:
    """The network after ``steps`` on crops of these frames; torch's global state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = to_training_layout(SmallUNet(images[0].shape[0], classes), device)
    rng = np.random.Generator(np.random.Philox(seed))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    counts = sum(torch.bincount(labels[frame].flatten(), minlength=classes + 1) for frame in frames)
    weights = 1 / (cast(Tensor, counts) + 1).double().sqrt()
    weights = (weights / weights.sum()).float().to(device)
    kept = KeptTraining(name, network, optimizer, schedule, rng, steps=steps, device=device)
    with progress(f"train {title}", steps, "steps", kept.step) as bar:
        for _ in range(kept.step, steps):
            kept.stop_in_time(title)
            drawn = rng.choice(np.asarray(frames), BATCH)
            side = min(CROP, *(min(images[frame].shape[1:]) for frame in drawn))
            crops = [_crop(images[frame], labels[frame], side, rng) for frame in drawn]
            batch, wanted = (torch.stack([crop[place] for crop in crops]) for place in (0, 1))
            loss = F.cross_entropy(
                network(batch.to(device, memory_format=torch.channels_last)), wanted.to(device), weights
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            kept.advance()
            bar.advance()
    return network.eval()


def _crop(image: Tensor, label: Tensor, side: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    top, left = (int(rng.integers(0, size - side + 1)) for size in image.shape[1:])
    image, label = image[:, top : top + side, left : left + side], label[top : top + side, left : left + side]
    return (image.flip(2), label.flip(1)) if rng.random() < 0.5 else (image, label)
