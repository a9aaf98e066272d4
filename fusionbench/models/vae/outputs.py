"""Output distributions p(y|·): what the last convolution's channels mean.

Both offer ``channels(spec)``, ``log_prob(parameters, target) -> (N,)`` float64 nats and
``mean(parameters) -> (N,C,H,W)`` in [0,1], computed in float32 whatever the autocast.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionbench.core.errors import unknown_name
from fusionbench.core.types import ImageSpec
from fusionbench.models.precision import at_least_float32

MIXTURES = 10
LOG_SCALE_FLOOR = -7.0


def centre_crop(x: Tensor, crop: tuple[int, int] | None) -> Tensor:
    """The centre ``crop`` (height, width) of (…,H,W); everything when ``crop`` is None."""
    if crop is None:
        return x
    top, left = (x.shape[-2] - crop[0]) // 2, (x.shape[-1] - crop[1]) // 2
    return x[..., top : top + crop[0], left : left + crop[1]]


def zero_outside(x: Tensor, crop: tuple[int, int] | None) -> Tensor:
    """Images (…,H,W) with zeros outside the centre ``crop``.

    What a likelihood does not count is the recipe's padding, zero by construction; no loss teaches a model that, so its
    mean image is completed by what is known.
    """
    if crop is None:
        return x
    height, width = x.shape[-2] - crop[0], x.shape[-1] - crop[1]
    top, left = height // 2, width // 2
    return F.pad(centre_crop(x, crop), (left, width - left, top, height - top))


class Bernoulli:
    """One logit a value; grey targets in [0,1] are soft: log p = Σ y·ln σ(a) + (1−y)·ln σ(−a).

    With grey targets this is a cross-entropy whose floor is the pixels' entropy, not a likelihood of 8-bit data.
    """

    def __init__(self, spec: ImageSpec) -> None:
        self.spec, self.channels = spec, spec.channels

    def log_prob(self, parameters: Tensor, target: Tensor) -> Tensor:
        """(N,C,H,W) logits and targets -> (N,) nats over the centre crop of the spec."""
        logits, target = (centre_crop(at_least_float32(x), self.spec.crop) for x in (parameters, target))
        loss = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")
        return -loss.sum(dim=(1, 2, 3), dtype=torch.float64)

    def mean(self, parameters: Tensor) -> Tensor:
        """(N,C,H,W) logits -> mean image; zero outside the crop."""
        return zero_outside(torch.sigmoid(at_least_float32(parameters)), self.spec.crop)


class LogisticMixture:
    """Mixture of 10 discretised logistics over 8-bit values (Salimans et al., "PixelCNN++", ICLR 2017).

    Channels: 10 mixture logits, then per colour [10 means, 10 log-scales, 10 coefficients]; green depends linearly on
    red and blue on both. The edge bins take the tails, tested by the 8-bit value itself, so the 256
    probabilities sum to one. Bins too narrow for a difference of sigmoids use the density at their centre.
    """

    right_edge = 255  # the first 8-bit value that takes the tail

    def __init__(self, spec: ImageSpec) -> None:
        self.spec, self.channels = spec, MIXTURES * (1 + 3 * spec.channels)

    def _unpack(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        n, _, h, w = parameters.shape
        parameters = at_least_float32(parameters)
        logits, rest = parameters[:, :MIXTURES], parameters[:, MIXTURES:]
        rest = rest.reshape(n, self.spec.channels, 3, MIXTURES, h, w)
        log_scale = rest[:, :, 1].clamp(min=LOG_SCALE_FLOOR)
        return logits, rest[:, :, 0], log_scale, torch.tanh(rest[:, :, 2])

    def component_log_prob(self, parameters: Tensor, target: Tensor) -> Tensor:
        """Log-probability of every value under every component, (N,C,10,H,W) nats, before mixing."""
        _, mean, log_scale, coefficient = self._unpack(parameters)
        eight_bit = torch.round(at_least_float32(target) * 255)
        value = (eight_bit / 127.5 - 1)[:, :, None]
        shifts = [torch.zeros_like(mean[:, 0])]
        if self.spec.channels == 3:
            shifts.append(coefficient[:, 0] * value[:, 0])
            shifts.append(coefficient[:, 1] * value[:, 0] + coefficient[:, 2] * value[:, 1])
        mean = mean + torch.stack(shifts + shifts[:1] * (self.spec.channels - len(shifts)), dim=1)
        inverse = torch.exp(-log_scale)
        centred = value - mean
        upper, lower, middle = inverse * (centred + 1 / 255), inverse * (centred - 1 / 255), inverse * centred
        width = torch.sigmoid(upper) - torch.sigmoid(lower)
        density = middle - log_scale - 2 * F.softplus(middle) - math.log(127.5)
        inner = torch.where(width > 1e-5, torch.log(width.clamp(min=1e-10)), density)
        edge = eight_bit[:, :, None]
        return torch.where(
            edge <= 0, upper - F.softplus(upper), torch.where(edge >= self.right_edge, -F.softplus(lower), inner)
        )

    def log_prob(self, parameters: Tensor, target: Tensor) -> Tensor:
        """(N,10·(1+3C),H,W) parameters and (N,C,H,W) targets in [0,1] -> (N,) nats over the centre crop."""
        parameters, target = centre_crop(parameters, self.spec.crop), centre_crop(target, self.spec.crop)
        with torch.autocast(parameters.device.type, enabled=False):
            components = self.component_log_prob(parameters, target).sum(dim=1)
            mixture = F.log_softmax(at_least_float32(parameters[:, :MIXTURES]), dim=1)
            return torch.logsumexp(mixture + components, dim=1).sum(dim=(1, 2), dtype=torch.float64)

    def mean(self, parameters: Tensor) -> Tensor:
        """Mixture-weighted mean per colour, colours in sequence, clamped: (N,C,H,W) in [0,1]; zero outside the crop."""
        logits, mean, _, coefficient = self._unpack(parameters)
        weight = F.softmax(logits, dim=1)[:, None]
        mean, coefficient = (weight * mean).sum(dim=2), (weight * coefficient).sum(dim=2)
        colours = [mean[:, 0].clamp(-1, 1)]
        if self.spec.channels == 3:
            colours.append((mean[:, 1] + coefficient[:, 0] * colours[0]).clamp(-1, 1))
            blue = mean[:, 2] + coefficient[:, 1] * colours[0] + coefficient[:, 2] * colours[1]
            colours.append(blue.clamp(-1, 1))
        else:
            colours.extend(mean[:, i].clamp(-1, 1) for i in range(1, self.spec.channels))
        return zero_outside((torch.stack(colours, dim=1) + 1) / 2, self.spec.crop)


class NVAELogisticMixture(LogisticMixture):
    """The mixture as NVAE's code has it, and FusionVAE's, which is built on it: the tail is taken by 254 too.

    A test of v > 0.99 on [-1,1] finds both values. So 254 has the probability of 254 and of 255, the 256 numbers sum to
    more than one, and NLLs of bright images come out too low. For comparison with published numbers only.
    """

    right_edge = 254


Output = Bernoulli | LogisticMixture
_OUTPUTS: dict[str, type[Bernoulli] | type[LogisticMixture]] = {
    "bernoulli": Bernoulli,
    "logistic-mixture": LogisticMixture,
    "logistic-mixture-nvae": NVAELogisticMixture,
}


def create_output(name: str, spec: ImageSpec) -> Output:
    """The output distribution called ``name`` for images of ``spec``.

    Raises:
        UsageError: unknown name.
    """
    if name not in _OUTPUTS:
        raise unknown_name("output distribution", name, _OUTPUTS)
    return _OUTPUTS[name](spec)
