"""``fusionbench.evaluate``: a model, a run, a method by its name or a function, scored on any data set or pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fusionbench.core.errors import UsageError
from fusionbench.core.plugin_files import plugins_of_this_command, split_plugin
from fusionbench.core.progress import brief
from fusionbench.evaluation.named_methods import method_by_name
from fusionbench.evaluation.protocols import PROTOCOLS, find_protocol, protocol_for
from fusionbench.evaluation.subject import Scorable
from fusionbench.sources import SOURCES
from fusionbench.training.run import Run

if TYPE_CHECKING:
    from fusionbench.core.interfaces import DatasetLike
    from fusionbench.evaluation.masked import Protocol
    from fusionbench.evaluation.pair_sets import PairSet
    from fusionbench.evaluation.protocols.base import BaseProtocol
    from fusionbench.results.schema import Result

Method: TypeAlias = "Scorable | Callable[..., Any]"
_MASKED = ("precision", "batch", "compile")  # arguments of masked views alone


def evaluate(
    model: Method,
    dataset: DatasetLike | PairSet | str | Path,
    *,
    split: str | None = None,
    protocol: Protocol | str | None = None,
    out: str | Path | None = "results",
    device: str = "auto",
    limit: int | None = None,
    title: str | None = None,
    force: bool = False,
    params: dict[str, Any] | None = None,
    preset: str | None = None,
    source_dir: str | Path | None = None,
    **options: Any,
) -> Result:
    """Score a method on a data set or on registered pairs, under the protocol that belongs to them.

    A result with the same identity that lies below ``out`` already is returned as it is, unless ``force``; that of a
    function is made again at every call, as nobody can know whether the function is still the same.

    Args:
        model: a model object, a run or its folder, the name of a registered model that learns nothing,
            ``file.py:Class`` or ``file.py`` with one model in it, or for pairs a function: ``method(a, b)`` of two
            uint8 (H,W) gives the fused image, uint8 or floating point in [0,1].
        dataset: a data set or pairs that are open; or as ``--data`` takes it: the name of a source of pairs
            (``"pairs-demo"``), the name or folder of a data set, a folder of pairs, ``file.py:Source``.
        split: ``test`` where there is one.
        protocol: its name or file, where the name or folder of the data does not tell; of masked views also a
            :class:`fusionbench.evaluation.masked.Protocol`.
        out: where results are saved; None keeps the result in memory.
        limit: only the first so many images; part of the identity.
        title: what tables call the row; the model's title when None.
        params: parameters that a model object was built with, or is to be built with by its name.
        preset: preset that a model by its name is built from.
        source_dir: the folder of the image files of a source of pairs.
        options: of the protocol: ``draws=``, ``stretch=``, and so on; of masked views also ``precision``, ``batch`` and
            ``compile``.

    Raises:
        UsageError: an unknown name or option, or a model that lacks an ability or has to be trained first.
        DataError: no such data, or images that cannot be read or scored.
        CannotMeasure: scores that are not finite, or a function that fails.

    Example:
        >>> import numpy as np
        >>> import fusionbench as fb
        >>> def brighter(a, b):
        ...     return np.maximum(a, b)
        >>> result = fb.evaluate(brighter, "pairs-demo", out=None, device="cpu")
        >>> round(result["sd"].mean, 1), result.identity.model.name
        (57.1, 'brighter')
    """
    with plugins_of_this_command():  # a file that is named as model or data is known while it is measured
        return _evaluate(
            model, dataset, split, protocol, out, device, limit, title, force, params, preset, source_dir, options
        )


def _evaluate(
    model: Method,
    dataset: Any,
    split: str | None,
    protocol: Protocol | str | None,
    out: str | Path | None,
    device: str,
    limit: int | None,
    title: str | None,
    force: bool,
    params: dict[str, Any] | None,
    preset: str | None,
    source_dir: str | Path | None,
    options: dict[str, Any],
) -> Result:
    place = None if source_dir is None else Path(source_dir)
    data = _open_as_pairs(dataset)
    if isinstance(data, str | Path) and (file := split_plugin(str(data))) is not None and file.path.is_file():
        data = SOURCES.named(str(data))
    if isinstance(protocol, str):
        protocol = PROTOCOLS.named(protocol)
    how: dict[str, Any] = {"out": out, "device": device, "title": title, "force": force}
    if isinstance(data, str | Path):
        rules = find_protocol(protocol) if isinstance(protocol, str) else protocol_for(str(data), place)
        given = _protocol_options(rules, protocol) | options
    else:
        rules = PROTOCOLS.get("masked/1" if hasattr(data, "stream") else "pairs/1")
        if isinstance(protocol, str) and (wanted := find_protocol(protocol).key) != rules.key:
            raise UsageError(f"data that are open are scored under {rules.key}; for {wanted} give their name or folder")
        given = _protocol_options(rules, protocol) | options
    own = {key: value for key, value in given.items() if key in rules.own_options}
    further = {key: value for key, value in given.items() if key not in own}
    checked = rules.options(**own, **({} if limit is None else {"limit": limit}))
    if isinstance(data, str | Path):
        asked = {key: further.pop(key) for key in ("strict",) if key in further and key in rules.takes}
        opened = rules.open(str(data), checked, split=split, source_dir=place, **asked)
    elif hasattr(data, "stream"):
        from fusionbench.evaluation.masked import MaskedImages

        opened = MaskedImages(data, split or "test", limit)
    else:
        opened = _limited(data, split, limit)
    scored: Scorable
    if preset is not None and not isinstance(model, str | Path):
        raise UsageError("preset is for a method by name; this one is a model object")
    if isinstance(model, str | Path):
        scored, how["params"] = method_by_name(str(model), rules.spec(opened), preset, params)
    elif isinstance(model, type) or not (callable(model) and not hasattr(model, "state_dict")):
        scored, how["params"] = _object(model), params
    else:
        if not rules.scores_functions:
            raise UsageError(f"a function fuses pairs; {rules.key} needs a model object with fuse or sample")
        from fusionbench.evaluation.own_function import as_model

        scored, how["force"] = as_model(model, rules.spec(opened), title), True
    with brief():
        if _is_masked(opened):
            return _masked(scored, opened, rules, checked, further, how)
        for key in further:
            if key not in rules.takes:
                known = ", ".join(sorted([*rules.own_options, *rules.takes]))
                raise UsageError(f"{rules.key} has no option {key!r}; it has {known}")
        return rules.evaluate(scored, opened, checked, **further, **how)


def _open_as_pairs(dataset: Any) -> Any:
    """A data set of whole pairs as pairs to score; everything else as it is."""
    from fusionbench.evaluation.pair_sets import are_pairs, open_pairs

    if hasattr(dataset, "stream") and hasattr(dataset, "folder") and are_pairs(str(dataset.folder)):
        return open_pairs(dataset.folder)
    return dataset


def _is_masked(opened: Any) -> bool:
    from fusionbench.evaluation.masked import MaskedImages

    return isinstance(opened, MaskedImages)


def _limited(pairs: Any, split: str | None, limit: int | None) -> Any:
    from dataclasses import replace

    from fusionbench.evaluation.pair_sets import PairSet

    if not isinstance(pairs, PairSet):
        raise UsageError(f"{pairs!r:.60} is no data: give a data set, pairs of open_pairs, a name or a folder")
    wanted = pairs.split if split is None else split
    pairs.source.stems(wanted)  # refuses what is no split
    return replace(pairs, split=wanted, limit=pairs.limit if limit is None else limit)


def _protocol_options(rules: BaseProtocol, protocol: Any) -> dict[str, Any]:
    """The options of a protocol of masked views that is given as an object."""
    if protocol is None or isinstance(protocol, str):
        return {}
    if not all(hasattr(protocol, key) for key in rules.own_options):
        raise UsageError(
            f"{rules.key} takes its options by name, such as stretch=True, and no {type(protocol).__name__}"
        )
    return {key: getattr(protocol, key) for key in rules.own_options}


def _object(model: Any) -> Scorable:
    """A model object or a run as it is; a class is refused with what to write."""
    if isinstance(model, type):
        raise UsageError(f"{model.__name__} is a class; give an object of it, such as {model.__name__}(dataset.spec)")
    if not isinstance(model, Run) and not hasattr(model, "state_dict"):
        raise UsageError(f"{model!r:.60} is no model: give a model object, a run, a name, a folder or a function")
    found: Scorable = model
    return found


def _masked(model: Any, data: Any, rules: Any, checked: Any, further: dict[str, Any], how: dict[str, Any]) -> Result:
    from fusionbench.evaluation.masked import evaluate_masked

    for key in further:
        if key not in _MASKED:
            known = ", ".join(sorted([*rules.own_options, *_MASKED]))
            raise UsageError(f"{rules.key} has no option {key!r}; it has {known}")
    settings = {"split": data.split, "protocol": rules.settings(checked), "limit": data.limit}
    return evaluate_masked(model, data.dataset, **settings, **further, **how)
