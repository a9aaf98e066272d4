"""Models, one family per file. A new model is its file plus one line here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import msgspec

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.interfaces import Model
from fusionbench.core.plugin_files import kebab
from fusionbench.core.registry import Registry

if TYPE_CHECKING:
    from fusionbench.core.types import ImageSpec, Preset


def is_model(found: Any) -> bool:
    """Whether an object in a user's own file is a model class."""
    abilities = ("loss", "fit", "fuse", "sample", "log_weights")
    return isinstance(found, type) and hasattr(found, "state_dict") and any(hasattr(found, key) for key in abilities)


def _name_of(cls: Any) -> str:
    """What a model class in a user's own file is called: its ``name``, or that of the class.

    Raises:
        UsageError: what every model says of itself is missing.
    """
    missing = [key for key in ("title", "reference", "version", "PRESETS") if not getattr(cls, key, None)]
    if missing:
        raise UsageError(
            f"{cls.__name__}: a model says {', '.join(missing)}; `fusionbench check FILE.py:{cls.__name__}` checks all"
        )
    return kebab(str(getattr(cls, "name", cls.__name__)))


MODELS: Registry[type[Model]] = Registry(
    "model",
    "fusionbench.models",
    {
        "cddfuse": "fusionbench.models.pairs.cddfuse:CDDFuse",
        "cvae": "fusionbench.models.vae.cvae:CVAE",
        "cvae+s": "fusionbench.models.vae.cvae:CVAEWithSkips",
        "dae-fuse": "fusionbench.models.pairs.dae_fuse:DAEFuse",
        "ddcgan": "fusionbench.models.pairs.ddcgan:DDcGAN",
        "ddfm": "fusionbench.models.pairs.ddfm:DDFM",
        "densefuse": "fusionbench.models.pairs.densefuse:DenseFuse",
        "datfuse": "fusionbench.models.pairs.datfuse:DATFuse",
        "didfuse": "fusionbench.models.pairs.didfuse:DIDFuse",
        "fcn": "fusionbench.models.vae.fcn:FCN",
        "fcn+s": "fusionbench.models.vae.fcn:FCNWithSkips",
        "first-view": "fusionbench.models.trivial:FirstView",
        "fusiongan": "fusionbench.models.pairs.fusiongan:FusionGAN",
        "fusionvae": "fusionbench.models.vae.fusionvae:FusionVAE",
        "fusionvae-patch": "fusionbench.models.vae.fusionvae_patch:FusionVAEPatch",
        "fusionvae-plus": "fusionbench.models.vae.fusionvae_plus:FusionVAEPlus",
        "gradient-domain-net": "fusionbench.models.pairs.gradient_domain_net:GradientDomainNet",
        "ifcnn": "fusionbench.models.pairs.ifcnn:IFCNN",
        "max-view": "fusionbench.models.trivial:MaxView",
        "mean-image": "fusionbench.models.trivial:MeanImage",
        "mfeif": "fusionbench.models.pairs.mfeif:MFEIF",
        "rfn-nest": "fusionbench.models.pairs.rfn_nest:RFNNest",
        "u2fusion": "fusionbench.models.pairs.u2fusion:U2Fusion",
        "swinfusion": "fusionbench.models.pairs.swinfusion:SwinFusion",
        "tardal": "fusionbench.models.pairs.tardal:TarDAL",
        "seafusion": "fusionbench.models.pairs.seafusion:SeAFusion",
        "average": "fusionbench.models.classical.pyramids:Average",
        "better-copy": "fusionbench.models.classical.trivial_pairs:BetterCopy",
        "cbf": "fusionbench.models.classical.cbf:CrossBilateral",
        "contrast-pyramid": "fusionbench.models.classical.pyramids:ContrastPyramid",
        "copy-a": "fusionbench.models.classical.pyramids:CopyA",
        "copy-b": "fusionbench.models.classical.pyramids:CopyB",
        "exposure-fusion": "fusionbench.models.classical.exposure_fusion:ExposureFusion",
        "gradient-domain": "fusionbench.models.classical.gradient_domain:GradientDomain",
        "gtf": "fusionbench.models.classical.gtf:GradientTransfer",
        "guided-filter": "fusionbench.models.classical.guided_filter:GuidedFilter",
        "jsr-sd": "fusionbench.models.classical.jsr_sd:JointSparse",
        "laplacian-pyramid": "fusionbench.models.classical.pyramids:LaplacianPyramid",
        "stretched-average": "fusionbench.models.classical.trivial_pairs:StretchedAverage",
        "wavelet": "fusionbench.models.classical.wavelet:Wavelet",
    },
    see="fusionbench list models",
    accepts=is_model,
    name_of=_name_of,
)
_SEVERAL = re.compile(r"\||Union|Optional|Any|object")  # in an annotation
register_model = MODELS.register
list_models = MODELS.names


def get_preset(name: str, preset: str | None) -> Preset:
    """The preset called ``preset`` of the model ``name``; an empty one for None.

    Raises:
        UsageError: unknown model or preset, with a suggestion.

    Example:
        >>> from fusionbench.models import get_preset
        >>> preset = get_preset("fusionvae", "tiny")
        >>> preset.model["latents"], preset.training["epochs"], preset.note
        (8, 8, 'a minute on a CPU; not comparable with the paper')
    """
    from fusionbench.core.types import Preset

    presets = MODELS.get(name).PRESETS
    if preset is None:
        return Preset()
    if preset not in presets:
        raise unknown_name(f"preset of {name}", preset, presets, f"fusionbench describe {name}")
    return presets[preset]


def create_model(name: str, spec: ImageSpec, preset: str | None = None, **overrides: Any) -> Model:
    """A new, untrained model: the parameters of its preset, replaced by ``overrides``.

    Raises:
        UsageError: unknown model, preset or parameter (with a suggestion), or values that do not fit ``spec``.

    Example:
        >>> from fusionbench import FusionbenchError, create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> spec = ImageSpec(channels=1, height=16, width=16, views=3)
        >>> sum(parameter.numel() for parameter in create_model("cvae", spec, preset="tiny").parameters())
        90934
        >>> create_model("cvae", spec, preset="tiny", latents=2).latents
        2
        >>> try:
        ...     create_model("cvae", spec, latent=2)
        ... except FusionbenchError as error:
        ...     print(error)
        Unknown parameter of cvae 'latent'. Did you mean 'latents'? See `fusionbench describe cvae`.
    """
    cls = MODELS.get(name)
    params = {**get_preset(name, preset).model, **overrides}
    known = parameters_of(cls)
    for parameter in params:
        if parameter not in known:
            raise unknown_name(f"parameter of {name}", parameter, known, f"fusionbench describe {name}")
    try:
        model = cls(spec, **params)
        model.built_with = params  # type: ignore[attr-defined]  # rules have no weights that would tell them apart
        return model
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in params.items())
        raise UsageError(f"{name} cannot be built with {given}: {error}") from error


def parameters_of(cls: type) -> list[str]:
    """Names of the keyword parameters of a model class: see :func:`defaults_of`.

    Example:
        >>> from fusionbench.models import MODELS, parameters_of
        >>> parameters_of(MODELS.get("laplacian-pyramid")), "latents" in parameters_of(MODELS.get("fusionvae"))
        (['levels'], True)
    """
    return list(defaults_of(cls))


def defaults_of(cls: type) -> dict[str, Any]:
    """Keyword parameters of a model class with their defaults, None for a parameter that has none.

    They are its own, those that it hands on to its base (``**params``), and where nothing stops these the fields of its
    ``Config``, a :class:`fusionbench.models.config.ModelConfig`.

    Example:
        >>> from fusionbench.models import MODELS, defaults_of
        >>> defaults_of(MODELS.get("laplacian-pyramid")), defaults_of(MODELS.get("mfeif"))["widths"]
        ({'levels': 4}, (16, 32, 48, 64))
    """
    parameters, open_ended = _keywords(cls)
    found = {key: None if one.default is one.empty else one.default for key, one in parameters.items()}
    if not open_ended:
        return found
    config = getattr(cls, "Config", None)
    if isinstance(config, type) and issubclass(config, msgspec.Struct):
        for field in msgspec.structs.fields(config):
            default = None if field.default is msgspec.NODEFAULT else field.default
            if field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()
            found.setdefault(field.name, default)
    return found


def _keywords(cls: type) -> tuple[dict[str, inspect.Parameter], bool]:
    """The keyword parameters of a class and those that it hands on to its bases; whether the last takes any more."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        signature = inspect.signature(base.__init__) if "__init__" in vars(base) else None  # type: ignore[misc]
        if signature is None:
            continue
        parameters = list(signature.parameters.values())[2:]
        for parameter in parameters:
            if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
            return found, False
    return found, True


def check_kinds(name: str, given: Mapping[str, Any]) -> None:
    """Check that values have the kind of their parameter's default: a number, text, a list, true or false.

    What a user writes in ``--set`` would else fail in the middle of fusing. A parameter without a default, or whose
    annotation lets it be several things, takes what its model takes; so does a field of a ``Config``, which checks
    itself.

    Raises:
        UsageError: a value of another kind.

    Example:
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.models import check_kinds
        >>> try:
        ...     check_kinds("laplacian-pyramid", {"levels": "many"})
        ... except FusionbenchError as error:
        ...     print(error)
        laplacian-pyramid: levels='many' is text; give a number, such as the default 4
    """
    parameters = _keywords(MODELS.get(name))[0]
    for key, value in given.items():
        if (parameter := parameters.get(key)) is None or _SEVERAL.search(str(parameter.annotation)):
            continue
        kind, wanted = _kind(value), _kind(parameter.default)
        if kind is not None and wanted is not None and kind != wanted:
            shown = f"{value!r:.60} is {kind}; give {wanted}, such as the default {parameter.default!r:.60}"
            raise UsageError(f"{name}: {key}={shown}")


def _kind(value: Any) -> str | None:
    kinds = ((bool, "true or false"), (Real, "a number"), (str, "text"), (list | tuple, "a list"), (dict, "a table"))
    return next((said for kind, said in kinds if isinstance(value, kind)), None)
