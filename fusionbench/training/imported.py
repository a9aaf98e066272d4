"""Where imported weights come from: the files of their authors, recorded in ``run.json`` in place of a training."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fusionbench.core.text import Digest, Natural

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
