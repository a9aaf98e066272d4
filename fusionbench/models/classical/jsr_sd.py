"""Joint sparse representation with saliency detection: the common part of both images, plus what is salient in each.

    patches of a ─┐ less their means ─ joint sparse code over one     ─ common part + salient innovations ─┐
    patches of b ─┘                    learned dictionary [D D 0;       + residual of the code             ├─ overlap
                    means ──────────── D 0 D] : common, own a, own b  ─ weighted by distance from the mean ┘

The joint model is Yu et al. 2011's, with two images one column of 2·size² values; the saliency idea is Liu, Qi, Ding
2017's. We know of no public code; five choices are ours: the dictionary is learned for each pair from its own patches
by scikit-learn, patches are ``stride`` pixels apart, a patch's saliency is the geometric mean of a local and a global
measure of its own coefficients, means are weighted by their distance from the image's mean, and the residual of
the code is kept by default.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.core.errors import UsageError
from fusionbench.core.types import ImageSpec, Preset
from fusionbench.models.classical.pyramids import PairRow

_ALIKE = 1e-7  # rows whose correlations differ by less than this share are tied; rounding makes 1e-10 of it


class JointSparse(PairRow):
    """Common part of both images, the innovations of each by their saliency, one pair at a time.

    Args:
        size: side of a patch; 8 is usual in the literature.
        stride: distance of patches. Sliding by one pixel is usual; 4 costs a sixteenth, and every pixel but the
            outermost is still the mean of four patches.
        atoms: elements of the dictionary; 256 is usual, 128 is twice the dimension of a patch.
        sparsity: maximum number of coefficients of a pair of patches.
        tolerance: a pair of patches is coded until the root mean square of the residual is below this, in grey values
            of [0,1].
        samples: patches that the dictionary learns from, drawn from both images by ``seed``.
        seed: of the draw and of the learning; a pair always has the same result.
        residual: add the residual of the code, weighted by saliency. Without it the method also removes noise, as
            joint sparse representation intends, and two equal images are reproduced only to within ``tolerance``, if
            ``sparsity`` suffices.

    Raises:
        UsageError: values that are not positive, a stride above the size.

    Source: Yu, Qiu, Bi, Wang 2011; Liu, Qi, Ding 2017; orthogonal matching pursuit: Tropp, Gilbert 2007.

    Example:
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> model = create_model("jsr-sd", ImageSpec(channels=1, height=24, width=24, views=2))
        >>> image = torch.rand(1, 1, 24, 24)
        >>> pair = torch.stack([image, image], dim=1)
        >>> fused = model.fuse(Batch(None, pair, torch.ones(1, 2, dtype=torch.bool), torch.arange(1)))
        >>> bool((fused - image).abs().max() < 1e-5)  # two equal images come back
        True
    """

    title = "joint sparse representation"
    reference = "Liu, Qi, Ding 2017, Infrared Phys. Technol. 83, 94–102; Yu et al. 2011, IEEE J-STSP 5(5), 1074–1082"
    version = "2"
    family = "classical"
    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(note="patches every 4 pixels, 128 atoms, residual kept; nothing to train"),
        "dense": Preset(
            model={"stride": 1, "atoms": 256, "residual": False},
            note="sliding patches, 256 atoms and no residual, as usual in the literature; many times slower",
        ),
    }

    def __init__(
        self,
        spec: ImageSpec,
        size: int = 8,
        stride: int = 4,
        atoms: int = 128,
        sparsity: int = 10,
        tolerance: float = 0.01,
        samples: int = 2000,
        seed: int = 0,
        residual: bool = True,
    ) -> None:
        super().__init__(spec)
        if not 1 <= stride <= size or size < 2:
            raise UsageError(f"{self.title}: size must be at least 2 and stride between 1 and size")
        if min(atoms, samples) < 1 or not 1 <= sparsity <= 2 * size**2 or tolerance < 0:
            raise UsageError(
                f"{self.title}: atoms and samples must be positive, sparsity between 1 and {2 * size**2}, "
                "tolerance at least 0"
            )
        self.size, self.stride, self.atoms, self.sparsity = size, stride, atoms, sparsity
        self.tolerance, self.samples, self.seed, self.residual = tolerance, samples, seed, residual

    @property
    def bytes_per_pixel(self) -> int:  # type: ignore[override]  # it depends on parameters here
        """Codes over the joint dictionary about three times, patches about four times, in float64."""
        return 8 * (9 * self.atoms + 4 * self.size**2) // self.stride**2 + 1

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([self.fused(x, y) for x, y in zip(a.split(1), b.split(1), strict=True)])

    def fused(self, a: Tensor, b: Tensor) -> Tensor:
        """One pair (1,1,H,W)."""
        height, width = a.shape[-2:]
        more = [max(self.size, n) + (self.size - max(self.size, n)) % self.stride - n for n in (height, width)]
        padded = [F.pad(x, (0, more[1], 0, more[0]), mode="replicate") for x in (a, b)]
        rows, columns = (
            (n + extra - self.size) // self.stride + 1 for n, extra in zip((height, width), more, strict=True)
        )
        patches = [F.unfold(x, self.size, stride=self.stride)[0].T for x in padded]
        means = [x.mean(1, keepdim=True) for x in patches]
        details = [x - mean for x, mean in zip(patches, means, strict=True)]

        dictionary = self.learned(torch.cat(details))
        codes = pursuit(joint(dictionary), torch.cat(details, 1), self.sparsity, self.tolerance)
        # columns of the joint dictionary have length 1, so that its common half is 1/√2 of the dictionary
        common, *own = codes.split(len(dictionary), 1)
        shared = common @ dictionary / 2**0.5

        salient = [self.saliency(x, rows, columns) for x in own]
        weights = [x / torch.maximum(*salient).clamp(min=1e-12) for x in salient]
        share = _share(*salient)
        result = shared
        for weight, part, code, detail in zip(weights, (share, 1 - share), own, details, strict=True):
            innovation = code @ dictionary
            result = result + weight * innovation
            if self.residual:
                result = result + part * (detail - shared - innovation)
        # a patch's brightness is salient when it is far from the image's mean
        bright = _share(*((mean - mean.mean()).abs() for mean in means))
        result = result + bright * means[0] + (1 - bright) * means[1]

        place = (height + more[0], width + more[1])
        total = F.fold(result.T[None], place, self.size, stride=self.stride)
        times = F.fold(torch.ones_like(result).T[None], place, self.size, stride=self.stride)
        return (total / times)[..., :height, :width]

    def learned(self, details: Tensor) -> Tensor:
        """Dictionary (atoms, size²) with rows of length 1, learned from patches without mean (n, size²)."""
        from sklearn.decomposition import MiniBatchDictionaryLearning
        from sklearn.exceptions import ConvergenceWarning

        values = details.cpu().numpy()
        values = values[np.square(values).mean(1) > self.tolerance**2]  # flat patches carry no information
        random = np.random.default_rng(self.seed)
        if len(values) < self.atoms:  # too few to learn from: random directions serve as the dictionary
            rows = random.standard_normal((self.atoms, details.shape[1]))
            rows -= rows.mean(1, keepdims=True)
        else:
            values = values[random.permutation(len(values))[: self.samples]]
            learner = MiniBatchDictionaryLearning(
                self.atoms, alpha=0.1, max_iter=2, batch_size=256, random_state=self.seed
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                warnings.simplefilter("ignore", RuntimeWarning)
                rows = learner.fit(values).components_
        found = torch.from_numpy(rows).to(details)
        result: Tensor = found / found.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return result

    def saliency(self, code: Tensor, rows: int, columns: int) -> Tensor:
        """Saliency (n,1) of patches by their own coefficients (n, atoms): √(local · global).

        Local: Σ|z| over the 3×3 patches around; global: Σ|z − mean of the image|, which is small for what is common.
        """
        grid = code.abs().sum(1).view(1, 1, rows, columns)
        local = F.avg_pool2d(grid, 3, 1, 1, count_include_pad=False).view(-1, 1)
        apart = (code - code.mean(0)).abs().sum(1, keepdim=True)
        return (local * apart).sqrt()


def joint(dictionary: Tensor) -> Tensor:
    """Joint dictionary (3·atoms, 2·dim) of (atoms, dim): common, own of a, own of b; rows of length 1."""
    nothing = torch.zeros_like(dictionary)
    shared = torch.cat((dictionary, dictionary), 1) / 2**0.5
    return torch.cat((shared, torch.cat((dictionary, nothing), 1), torch.cat((nothing, dictionary), 1)))


def pursuit(dictionary: Tensor, values: Tensor, sparsity: int, tolerance: float, chunk: int = 2048) -> Tensor:
    """Codes (n, atoms) of values (n, dim) by orthogonal matching pursuit over rows of length 1 (atoms, dim).

    The values of a chunk are processed together. A value is done when the root mean square of its residual is at most
    ``tolerance``, when it has ``sparsity`` coefficients, or when no row correlates with the residual. Of rows that
    correlate equally well, up to rounding, the first is chosen.
    """
    gram = dictionary @ dictionary.T
    codes = values.new_zeros(len(values), len(dictionary))
    for begin in range(0, len(values), chunk):
        part = values[begin : begin + chunk]
        codes[begin : begin + chunk] = _pursue(dictionary, gram, part, sparsity, tolerance)
    return codes


def _pursue(dictionary: Tensor, gram: Tensor, values: Tensor, sparsity: int, tolerance: float) -> Tensor:
    codes = values.new_zeros(len(values), len(dictionary))
    wanted = values @ dictionary.T
    limit = tolerance**2 * values.shape[1]
    energy = values.square().sum(1)
    left = (energy > limit).nonzero()[:, 0]
    chosen = torch.empty(len(left), 0, dtype=torch.long, device=values.device)
    match = wanted[left]
    for _ in range(min(sparsity, len(dictionary))):
        strength = match.abs().scatter(1, chosen, -1.0)
        size = strength.amax(1)
        # After a common row its two own ones are alike but for rounding: take the first.
        best = (strength >= size[:, None] * (1 - _ALIKE)).int().argmax(1)
        useful = size > 1e-9 * energy[left].sqrt()  # smaller: rounding errors
        left, chosen = left[useful], torch.cat((chosen, best[:, None]), 1)[useful]
        if not len(left):
            break
        inner = gram[chosen[:, :, None], chosen[:, None]]
        target = wanted[left].gather(1, chosen)
        solved, info = torch.linalg.solve_ex(inner, target)
        fine = (info == 0) & torch.isfinite(solved).all(1)
        left, chosen, solved, target = left[fine], chosen[fine], solved[fine], target[fine]
        codes[left] = 0
        codes[left[:, None], chosen] = solved
        # the residual of a projection is orthogonal to it
        more = energy[left] - (solved * target).sum(1) > limit
        left, chosen = left[more], chosen[more]
        if not len(left):
            break
        match = wanted[left] - codes[left] @ gram
    return codes


def _share(a: Tensor, b: Tensor) -> Tensor:
    """a/(a + b), and a half where both vanish."""
    total = a + b
    return torch.where(total > 0, a / torch.where(total > 0, total, 1.0), 0.5)
