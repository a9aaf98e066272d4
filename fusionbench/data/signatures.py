"""Signed provenance of a data set: who says that these files were made from this recipe and this source.

``provenance.intoto.jsonl`` is one line: an in-toto Statement v1 with SLSA provenance v1 in a DSSE envelope, signed with
ed25519. Its subjects are the manifest and the shards; card, preview and Croissant follow from these. There is no time,
host or path in it and ed25519 draws nothing, so the same key signs the same data set with the same bytes.

Signing and checking need the extra ``sign`` (securesystemslib); that there is a signature, and of what, needs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusionbench.core.envelopes import STATEMENT_TYPE, check_statement, sign_statement, statement_signers
from fusionbench.data.shards.manifest import FILE as MANIFEST
from fusionbench.data.shards.manifest import Manifest

FILE = "provenance.intoto.jsonl"
# names of ours by RFC 4151; there is no server that they could be looked up at
BUILD_TYPE, BUILDER = "tag:fusionbench,2026:generate/1", "tag:fusionbench,2026:key-holder"
_ABOUT = f"another data set than {MANIFEST} describes"
_REMEDY = "sign it again with `fusionbench generate … --sign KEY`"


def statement(manifest: Manifest) -> dict[str, Any]:
    """The in-toto Statement about a data set, which follows from its manifest."""
    entries = [
        shard
        for _, split in sorted(manifest.splits.items())
        for shard in (*split.shards, *([split.cutouts] if split.cutouts else []))
    ]
    subjects = {MANIFEST: manifest.manifest_sha256, **{shard.file: shard.file_sha256 for shard in entries}}
    source = manifest.source
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in subjects.items()],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"recipe": manifest.recipe},
                "internalParameters": {"recipe_sha256": manifest.recipe_sha256, "id": manifest.id},
                "resolvedDependencies": [
                    {"name": f"{source.name}, for {split}", "digest": {"sha256": fingerprint}}
                    for split, fingerprint in sorted(source.fingerprint.items())
                ],
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }


def sign(folder: Path, manifest: Manifest, private_key: Path) -> str:
    """Write ``provenance.intoto.jsonl`` into ``folder``, beside signatures of other keys on the same; the key's id.

    The data set must have been checked (:func:`fusionbench.data.verify.verify_dataset`): a signature is a promise.

    Raises:
        UsageError: securesystemslib is missing.
        DataError: not an unencrypted ed25519 key in PEM, or the folder cannot be written.
    """
    return sign_statement(folder / FILE, statement(manifest), private_key, _REMEDY)


def signers(folder: Path, manifest: Manifest) -> list[str]:
    """Ids of the keys that are said to have signed the data set in ``folder``; none where it is not signed.

    Raises:
        RejectedError: not an envelope, or one about something else than this data set.
    """
    return statement_signers(folder / FILE, statement(manifest), _ABOUT, _REMEDY)


def check_signature(folder: Path, manifest: Manifest, public_key: Path) -> str:
    """The id of ``public_key``, which has signed the data set in ``folder``.

    Raises:
        UsageError: securesystemslib is missing.
        DataError: not an ed25519 public key in PEM.
        RejectedError: not signed, signed by other keys only, or the envelope or the data set was changed since.
    """
    return check_statement(folder / FILE, statement(manifest), public_key, "the data set", _ABOUT, _REMEDY)
