"""Models, one family per file. A new model is its file plus one line here."""

from __future__ import annotations

from fusionbench.registry import Registry

MODELS: Registry = Registry(
    "model",
    "fusionbench.models",
    {
        "cvae": "fusionbench.models.cvae:CVAE",
        "dae-fuse": "fusionbench.models.dae_fuse:DAEFuse",
        "fcn": "fusionbench.models.fcn:FCN",
        "first-view": "fusionbench.models.trivial:FirstView",
        "fusionvae": "fusionbench.models.fusionvae:FusionVAE",
        "max-view": "fusionbench.models.trivial:MaxView",
        "mean-image": "fusionbench.models.trivial:MeanImage",
        "mfeif": "fusionbench.models.mfeif:MFEIF",
    },
    see="fusionbench list models",
)
register_model = MODELS.register
list_models = MODELS.names
