"""Where imported weights come from: the files of their authors, recorded in ``run.json`` in place of a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from fusionbench.core.errors import DataError
from fusionbench.core.io import digest
from fusionbench.core.text import Digest, Natural

if TYPE_CHECKING:
    from torch import Tensor

Text = Annotated[str, msgspec.Meta(max_length=2000)]
MAX_IMPORTED_FILES = 16


class ImportedFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One file that weights were imported from.

    Attributes:
        part: which of the network's files it is, such as ``"encoder"``.
        name: what the user's file was called.
        sha256: of its bytes; size: number of them.
    """

    part: Text
    name: Text
    sha256: Digest
    size: Natural


class ImportedWeights(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Provenance of imported weights; nobody here knows how they were trained.

    Attributes:
        files: in the order of the network's files; empty where it is not known any more.
        homepage, licence: of the weights, as the registered network stated them when they were imported.
        checked_release: whether the files are the release whose fused images were compared with published ones.
        fusionbench: version that imported them.
        state_sha256: :func:`fusionbench.models.published_weights.released_state_sha256` of what the files became. Since
            fusionbench.run/1.2.
        state_known: whether that digest is the one that the registered network states, and was known before the
            import. Otherwise it is only what the import recorded. Since fusionbench.run/1.2.

    Example:
        >>> from fusionbench.training.imported import ImportedFile, ImportedWeights
        >>> file = ImportedFile(part="weights", name="SeAFusion.pth", sha256="8" * 64, size=682043)
        >>> ImportedWeights(files=(file,), checked_release=True).files[0].name
        'SeAFusion.pth'
    """

    files: Annotated[tuple[ImportedFile, ...], msgspec.Meta(max_length=MAX_IMPORTED_FILES)] = ()
    homepage: Text = ""
    licence: Text = ""
    checked_release: bool = False
    fusionbench: Text = ""
    state_sha256: Digest | msgspec.UnsetType = msgspec.UNSET
    state_known: bool | msgspec.UnsetType = msgspec.UNSET

    @property
    def revised(self) -> bool:
        """Whether it has a field of fusionbench.run/1.2."""
        return (self.state_sha256, self.state_known) != (msgspec.UNSET, msgspec.UNSET)


def check_imported_state(
    folder: Path, network: str, params: Mapping[str, Any], imported: ImportedWeights, state: Mapping[str, Tensor]
) -> None:
    """Refuse weights that are not those which were imported, and a record that claims what it cannot.

    The checked release is held to the files, the parameters and the digest that the registered network states; other
    imports to the digest that the import recorded. Nothing is known of those of before fusionbench.run/1.2.

    Args:
        folder: the run, for the message.
        network, params: the registered model and what it was built with.
        state: the model's tensors by name.

    Raises:
        DataError: names the run, and what does not fit.

    Example:
        >>> from pathlib import Path
        >>> import torch
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.training.imported import ImportedWeights, check_imported_state
        >>> try:
        ...     record = ImportedWeights(state_sha256="0" * 64)
        ...     check_imported_state(Path("run"), "ifcnn", {}, record, {"stem.weight": torch.ones(1)})
        ... except FusionbenchError as error:
        ...     print(error)
        run: its weights are not those that were imported; import the authors' files again
    """
    from fusionbench.models.published_weights import networks_with_published_weights, released_state_sha256

    again = "import the authors' files again"
    published = networks_with_published_weights().get(network)
    if imported.checked_release:
        files = [file.sha256 for file in imported.files]
        if published is None or files != list(published.sha256) or not _same(params, published.params):
            raise DataError(f"{folder}: run.json calls its weights the checked release, and they are not; {again}")
    found = released_state_sha256(state, published.ours_alone if published is not None else ())
    known = published.state_sha256 if published is not None else ""
    if imported.checked_release and known and found != known:
        raise DataError(f"{folder}: its weights are not those of the checked release; {again}")
    if imported.state_known is True and found != known:
        raise DataError(f"{folder}: run.json calls the digest of its weights known, and it is not; {again}")
    if isinstance(imported.state_sha256, str) and found != imported.state_sha256:
        raise DataError(f"{folder}: its weights are not those that were imported; {again}")


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return digest(msgspec.to_builtins(dict(one))) == digest(msgspec.to_builtins(dict(other)))
