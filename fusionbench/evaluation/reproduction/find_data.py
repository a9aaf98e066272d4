"""Finds the data that a result was scored on: by its identity, in any folder, or built again from the recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fusionbench.core.errors import DataError, FusionbenchError, NotComparableError, some
from fusionbench.core.io import digest
from fusionbench.evaluation.protocols.base import BaseProtocol
from fusionbench.evaluation.reproduction.outcome import NotReproducibleError
from fusionbench.evaluation.reproduction.places import Finder
from fusionbench.results.schema import DatasetIdentity, Identity
from fusionbench.sources import SOURCES, is_pair_source

if TYPE_CHECKING:
    from fusionbench.data.recipes import AnyRecipe


def recorded_options(protocol: BaseProtocol, identity: Identity) -> Any:
    """The options of a protocol that a result's identity records.

    Raises:
        NotComparableError: a value that the protocol does not take.
    """
    params = identity.protocol.params
    given = {key: params[key] for key in protocol.own_options if key in params}
    if "seed" in protocol.own_options:
        given["seed"] = identity.protocol.seed
    try:
        return protocol.options(**given)
    except FusionbenchError as error:
        raise NotComparableError(f"{protocol.key} does not take what the result was measured with: {error}") from error


def check_protocol(protocol: BaseProtocol, options: Any, data: Any, identity: Identity, more: frozenset[str]) -> None:
    """Refuse a result whose protocol, with the options that it records, is not what it says that it was.

    Args:
        more: parameters that what is scored adds, and that are compared with the result's when it is scored.

    Raises:
        NotComparableError: names the parameters that are unknown here, or have another value.
    """
    ours, theirs = protocol.identity(options, data), identity.protocol
    params = {key: value for key, value in theirs.params.items() if key not in more}
    unknown = sorted(params.keys() - ours.params.keys())
    if unknown:
        raise NotComparableError(
            f"{protocol.key} here does not know {some(unknown)}: the result was measured by another protocol"
        )
    other = sorted(key for key in ours.params if key not in more and not same_record(ours.params[key], params.get(key)))
    other += ["seed"] if ours.seed != theirs.seed else []
    if other:
        key = other[0]
        ends = (params.get(key, "not recorded"), ours.params.get(key)) if key != "seed" else (theirs.seed, ours.seed)
        raise NotComparableError(
            f"{protocol.key} measures with {key} = {ends[1]!r}, the result was measured with {ends[0]!r}"
        )


def same_record(one: Any, other: Any) -> bool:
    """Whether two values are written the same way in a result: tuples are lists there, and 1.0 is not 1.

    Example:
        >>> from fusionbench.evaluation.reproduction.find_data import same_record
        >>> same_record({"betas": (0.9, 0.999)}, {"betas": [0.9, 0.999]}), same_record(1, 2)
        (True, False)
    """
    return digest(msgspec.to_builtins(one)) == digest(msgspec.to_builtins(other))


def first_images(data: Any, count: int, reopen: Callable[[int], Any]) -> Any:
    """The first ``count`` images of opened data; ``reopen`` for data that cannot say it themselves."""
    if dataclasses.is_dataclass(data) and any(entry.name == "limit" for entry in dataclasses.fields(data)):
        return dataclasses.replace(data, limit=count)  # type: ignore[type-var]
    return reopen(count)


def open_recorded(protocol: BaseProtocol, options: Any, wanted: DatasetIdentity, finder: Finder) -> Any:
    """The images that a result was scored on.

    Raises:
        NotReproducibleError: they are not here; says where was looked and what to do.
    """
    tried: list[str] = []
    for about, opening in _candidates(protocol, options, wanted, finder):
        try:
            data = opening(None)
            found = data.identity
            if found.n > wanted.n:
                data = first_images(data, wanted.n, opening)
                found = data.identity
        except FusionbenchError as error:
            tried.append(f"{about}: {error}" if about not in str(error) else str(error))
            continue
        other = [name for name in wanted.__struct_fields__ if getattr(found, name) != getattr(wanted, name)]
        if not other:
            return data
        tried.append(f"{about}: another {other[0]} ({str(getattr(found, other[0]))[:12]})")
    looked = f"; looked at {some([' '.join(text.split())[:160] for text in tried], '; ', 3)}" if tried else ""
    raise NotReproducibleError(
        "data",
        f"the data set {wanted.name} {wanted.version}, split {wanted.split}, {wanted.id[:12]}, is not here: name its "
        f"folder with --data-root, or its upstream files with --source-dir{looked}",
    )


Opening = Callable[[int | None], Any]


def _candidates(
    protocol: BaseProtocol, options: Any, wanted: DatasetIdentity, finder: Finder
) -> Iterator[tuple[str, Opening]]:
    """What might be the data: how to call it, and how to open the first so many images of it."""

    def opening(data: str, folder: Path | None = None) -> Opening:
        def opened(limit: int | None) -> Any:
            chosen = _limited(protocol, options, limit)
            return protocol.open(data, chosen, split=wanted.split, source_dir=folder)

        return opened

    source = pair_source_of(wanted)
    if source is not None:
        if is_embedded(source):
            yield source, opening(source)
            return
        for folder, manifest in finder.manifests():
            if manifest.source.name == source:
                yield str(folder), opening(source, folder)
        for place in (*finder.places.sources, *finder.places.data):
            for folder in (place / source, place):
                if folder.is_dir():
                    yield str(folder), opening(source, folder)
        return
    for folder, manifest in finder.manifests():
        if manifest.id == wanted.id:
            yield str(folder), opening(str(folder))
    recipe = recipe_of(f"{wanted.name}@{wanted.version}")
    if recipe is not None:
        for upstream, build in builds(recipe, finder):
            yield str(upstream or recipe.name), partial(_open_built, build, opening)


def _open_built(build: Callable[[], Path], opening: Callable[[str], Opening], limit: int | None) -> Any:
    return opening(str(build()))(limit)


def _limited(protocol: BaseProtocol, options: Any, limit: int | None) -> Any:
    known = {key: getattr(options, key) for key in protocol.own_options}
    return protocol.options(**known, **({} if limit is None else {"limit": limit}))


def pair_source_of(wanted: DatasetIdentity) -> str | None:
    """The source of registered pairs of which a data set's name is, with or without the split behind it.

    Example:
        >>> from fusionbench.evaluation.reproduction.find_data import pair_source_of
        >>> from fusionbench.results.schema import DatasetIdentity
        >>> about = {"version": "1.0.0", "id": "", "n": 1, "ids_sha256": ""}
        >>> pair_source_of(DatasetIdentity(name="harvard-mri-ct", split="mri-ct", **about))
        'harvard'
        >>> print(pair_source_of(DatasetIdentity(name="fusionmnist", split="test", **about)))
        None
    """
    for name in (wanted.name, wanted.name.removesuffix(f"-{wanted.split}")):
        if name in SOURCES.names() and is_pair_source(name):
            return name
    return None


def is_embedded(source: str) -> bool:
    """Whether a source needs no folder of files.

    Example:
        >>> from fusionbench.evaluation.reproduction.find_data import is_embedded
        >>> is_embedded("pairs-demo"), is_embedded("tno")
        (True, False)
    """
    try:
        SOURCES.get(source)(None)
    except FusionbenchError:
        return False
    return True


def recipe_of(name: str) -> AnyRecipe | None:
    """The shipped recipe ``NAME@VERSION``; None where there is none."""
    from fusionbench.data.recipes import load_recipe

    try:
        return load_recipe(name)
    except FusionbenchError:
        return None


def builds(recipe: AnyRecipe, finder: Finder) -> Iterator[tuple[Path | None, Callable[[], Path]]]:
    """Folders of upstream files that a recipe may be built from, and how to; data sets go to the scratch folder."""
    from fusionbench.data.build import build_dataset

    if is_embedded(recipe.source.name):
        yield None, partial(build_dataset, recipe, None, finder.scratch / "data", jobs=0)
        return
    for place in finder.places.sources:
        folder = place / recipe.source.name
        folder = folder if folder.is_dir() else place
        # a folder for each: what another folder gave is another data set
        out = finder.scratch / "data" / str(list(finder.places.sources).index(place))
        yield folder, partial(build_dataset, recipe, folder, out, jobs=0)


def find_dataset(dataset_id: str, finder: Finder, likely: str) -> Path | None:
    """The folder of the data set with this ``training_id``: found, or built from what suites train on.

    Args:
        likely: the source or data set that is scored; what its suites train on is what is built.
    """
    from fusionbench.data.dataset import open_dataset
    from fusionbench.evaluation.suites import list_suites, load_suite

    def is_it(folder: Path) -> bool:
        """Of sets that share their bytes, live degradations may be another training."""
        try:
            return open_dataset(folder).training_id == dataset_id
        except FusionbenchError:  # a set beside it that cannot be read here, or needs a plugin that is not
            return False

    for folder, manifest in finder.manifests():
        if (manifest.id == dataset_id or "degrade" in manifest.recipe) and is_it(folder):
            return folder
    suites = [suite for suite in map(load_suite, list_suites()) if suite.dataset.partition("@")[0] == likely]
    for name in dict.fromkeys(suite.train for suite in suites if suite.train):
        recipe = recipe_of(name)
        for _, built in () if recipe is None else builds(recipe, finder):
            try:
                folder = built()
                if is_it(folder):
                    return folder
            except DataError:
                continue
    return None
