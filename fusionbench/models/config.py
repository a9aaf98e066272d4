"""Parameters of models with many of them: one frozen record a family, whose fields a base shares with its subclasses.

A model class names its record, ``Config``, and builds it from the keyword arguments that it was given:
``MFEIF(spec, skip="mean")`` has ``model.config.skip == "mean"``. What a preset, a suite, a run record and an identity
hold are those keyword arguments, not the record, so that a new field with a default changes no identity. Models with a
few parameters take plain keywords.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self

import msgspec

from fusionbench.core.errors import UsageError, unknown_name

Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class ModelConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Base of the records. A subclass has a field with a default for every parameter; its ``__post_init__`` refuses
    values that do not fit each other.

    Attributes:
        model: the registered name, for error messages.

    Example:
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.models.pairs.mfeif import MFEIFConfig
        >>> MFEIFConfig.of({"skip": "mean", "widths": [4, 8, 12, 64]}).widths
        (4, 8, 12, 64)
        >>> for options in ({"skips": "mean"}, {"skip": "maen"}, {"attention_maps": "all"}):
        ...     try:
        ...         MFEIFConfig.of(options)
        ...     except FusionbenchError as error:
        ...         print(error)
        Unknown parameter of mfeif 'skips'. Did you mean 'skip'? See `fusionbench describe mfeif`.
        Unknown skip of mfeif 'maen'. Did you mean 'mean' or 'mean-min'?
        mfeif cannot be built with attention_maps='all': Expected `int`, got `str` - at `$.attention_maps`
    """

    model: ClassVar[str]

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """The record of keyword arguments: names, types and values checked; lists become tuples.

        Raises:
            UsageError: an unknown name (with the nearest known one), a wrong type or an impossible value.
        """
        for name in options:
            if name not in cls.__struct_fields__:
                raise unknown_name(
                    f"parameter of {cls.model}", name, cls.__struct_fields__, f"fusionbench describe {cls.model}"
                )
        # numbers and arrays of NumPy count as Python's
        plain = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in options.items()}
        try:
            return msgspec.convert(plain, cls)
        except msgspec.ValidationError as error:
            given = ", ".join(f"{key}={value!r}" for key, value in plain.items())
            raise UsageError(f"{cls.model} cannot be built with {given}: {error}") from error


def check_choice(model: str, **choices: tuple[str, Iterable[str]]) -> None:
    """Check that a parameter has one of its known values: ``check_choice(model, base=(value, known))``.

    Raises:
        UsageError: another value, with the nearest known one.
    """
    for parameter, (value, known) in choices.items():
        if value not in (known := tuple(known)):
            raise unknown_name(f"{parameter} of {model}", value, known)
