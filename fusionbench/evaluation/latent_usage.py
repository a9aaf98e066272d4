"""Whether a model with latents uses them: KL of every latent group, and the number of active units.

A unit (one channel of a group at one place) is active when the variance over images of its posterior mean exceeds 0.01
(Burda et al., "Importance Weighted Autoencoders", ICLR 2016, section 5). A collapsed posterior shows as a group with a
KL near 0 and without active units, which neither the NLL nor the pictures tell.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fusionbench.core.interfaces import Model, StreamLike, has_posterior

ACTIVE = 0.01  # variance of the posterior mean over images
_BATCH = 128


def latent_usage(model: Model, stream: StreamLike, ids: np.ndarray, inputs: int) -> dict[str, Any]:
    """Use of the latents on the images ``ids`` of ``stream``, given ``inputs`` views.

    Returns ``kl_groups`` (mean nats of every group, in the order of the decoder), ``active_units`` and ``units`` (both
    per group); nothing for a model that has no latents, or for one image, which has no variance. Latents before a group
    are the means of their posteriors.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from fusionbench import Batch, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.latent_usage import latent_usage
        >>> class Stream:
        ...     def batch(self, indices, epoch=0):
        ...         views = torch.rand(len(indices), 3, 1, 16, 16)
        ...         present = torch.ones(len(indices), 3, dtype=torch.bool)
        ...         return Batch(views[:, 0], views, present, torch.tensor(indices))
        >>> model = create_model("cvae", ImageSpec(channels=1, height=16, width=16, views=3), preset="tiny")
        >>> found = latent_usage(model, Stream(), np.arange(4), inputs=2)
        >>> len(found["kl_groups"]), found["units"]
        (1, [32])
    """
    import torch

    if not has_posterior(model) or len(ids) < 2:
        return {}
    kls: list[np.ndarray] = []
    means: list[list[np.ndarray]] = []
    with torch.no_grad():
        for begin in range(0, len(ids), _BATCH):
            batch = stream.batch(ids[begin : begin + _BATCH], epoch=0).with_inputs(inputs)
            groups = model.posterior_of(batch)
            kls.append(torch.stack([kl for _, kl in groups], dim=1).double().cpu().numpy())
            means.append([mean.flatten(1).double().cpu().numpy() for mean, _ in groups])
    variances = [np.concatenate(group).var(axis=0, ddof=1) for group in zip(*means, strict=True)]
    return {
        "kl_groups": np.concatenate(kls).mean(axis=0).tolist(),
        "active_units": [int((values > ACTIVE).sum()) for values in variances],
        "units": [len(values) for values in variances],
    }
