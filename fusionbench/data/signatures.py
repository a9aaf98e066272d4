"""Signed provenance of a data set: who says that these files were made from this recipe and this source.

``provenance.intoto.jsonl`` is one line: an in-toto Statement v1 with SLSA provenance v1 in a DSSE envelope, signed with
ed25519. Its subjects are the manifest and the shards; card, preview and Croissant follow from these. There is no time,
host or path in it and ed25519 draws nothing, so the same key signs the same data set with the same bytes.

Signing and checking need the extra ``sign`` (securesystemslib); that there is a signature, and of what, needs nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from fusionbench.core.errors import DataError, RejectedError, UsageError
from fusionbench.core.io import canonical_json, read_bounded, write_bytes
from fusionbench.core.text import Digest
from fusionbench.data.shards.manifest import FILE as MANIFEST
from fusionbench.data.shards.manifest import Manifest

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

FILE = "provenance.intoto.jsonl"
PAYLOAD_TYPE: Literal["application/vnd.in-toto+json"] = "application/vnd.in-toto+json"
# names of ours by RFC 4151; there is no server that they could be looked up at
BUILD_TYPE, BUILDER = "tag:fusionbench,2026:generate/1", "tag:fusionbench,2026:key-holder"
MAX_BYTES, MAX_KEY, MAX_SIGNATURES = 128 << 20, 1 << 16, 16
_REMEDY = "sign it again with `fusionbench generate … --sign KEY`"


class _Signature(msgspec.Struct):
    keyid: Digest
    sig: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{86}==\Z")]


class _Envelope(msgspec.Struct):
    """What every DSSE envelope of ours has; other tools may add fields."""

    payload: str
    payloadType: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[list[_Signature], msgspec.Meta(min_length=1, max_length=MAX_SIGNATURES)]


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
        "_type": "https://in-toto.io/Statement/v1",
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
    signer = _signer(private_key)
    payload = canonical_json(statement(manifest))
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    if (folder / FILE).exists():
        try:
            earlier = _load(folder)
        except RejectedError:
            earlier = None  # damaged: written anew
        if earlier is not None and earlier.payload == payload:
            envelope = earlier
    if len(envelope.signatures) >= MAX_SIGNATURES:
        raise UsageError(f"{folder / FILE}: {MAX_SIGNATURES} keys have signed; remove the file to begin again")
    signature = envelope.sign(signer)
    envelope.signatures = dict(sorted(envelope.signatures.items()))
    write_bytes(folder / FILE, canonical_json(envelope.to_dict()) + b"\n")
    return str(signature.keyid)


def signers(folder: Path, manifest: Manifest) -> list[str]:
    """Ids of the keys that are said to have signed the data set in ``folder``; none where it is not signed.

    Raises:
        RejectedError: not an envelope, or one about something else than this data set.
    """
    if not (folder / FILE).exists():
        return []
    envelope = _parse(folder)
    try:
        said = json.loads(base64.b64decode(envelope.payload, validate=True))
    except (ValueError, RecursionError) as error:
        raise RejectedError(f"{FILE}: its payload is not an in-toto statement; {_REMEDY}") from error
    if said != statement(manifest):
        raise RejectedError(f"{FILE}: it is about another data set than {MANIFEST} describes; {_REMEDY}")
    return [signature.keyid for signature in envelope.signatures]


def check_signature(folder: Path, manifest: Manifest, public_key: Path) -> str:
    """The id of ``public_key``, which has signed the data set in ``folder``.

    Raises:
        UsageError: securesystemslib is missing.
        DataError: not an ed25519 public key in PEM.
        RejectedError: not signed, signed by other keys only, or the envelope or the data set was changed since.
    """
    key = _public_key(public_key)
    names = signers(folder, manifest)
    if not names:
        raise RejectedError(f"{FILE}: missing: the data set is not signed")
    if key.keyid not in names:
        raise RejectedError(f"{FILE}: signed by {', '.join(name[:12] for name in names)}, not by {key.keyid[:12]}")
    from securesystemslib.exceptions import VerificationError

    try:
        _load(folder).verify([key], 1)
    except VerificationError as error:
        raise RejectedError(f"{FILE}: the signature of {key.keyid[:12]} is wrong: the envelope was edited") from error
    return str(key.keyid)


def _parse(folder: Path) -> _Envelope:
    try:
        content = read_bounded(folder / FILE, MAX_BYTES, "provenance")
        envelope = msgspec.json.decode(content, type=_Envelope)
        texts = [envelope.payload, *(signature.sig for signature in envelope.signatures)]
        again = [base64.b64encode(base64.b64decode(text, validate=True)).decode() for text in texts]
        if again != texts or content != canonical_json(msgspec.to_builtins(envelope)) + b"\n":
            raise RejectedError(f"{FILE}: its bytes are not those that fusionbench writes: it was edited; {_REMEDY}")
        return envelope
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RejectedError(f"{FILE}: not a DSSE envelope of one line ({reason}); {_REMEDY}") from error
    except DataError as error:
        raise RejectedError(str(error)) from error


def _load(folder: Path) -> Envelope:
    from securesystemslib.dsse import Envelope

    try:
        return Envelope.from_dict(msgspec.to_builtins(_parse(folder)))
    except (ValueError, KeyError, TypeError) as error:  # two signatures of one key, no base64
        raise RejectedError(f"{FILE}: not a DSSE envelope ({error}); {_REMEDY}") from error


def _library() -> None:
    try:
        import cryptography  # noqa: F401
        import securesystemslib.signer  # noqa: F401
    except ImportError as error:
        raise UsageError("Signatures need securesystemslib: pip install 'fusionbench[sign]'") from error


def _signer(path: Path) -> Any:
    _library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

    how = "make one with `openssl genpkey -algorithm ed25519 -out KEY`"
    try:
        private = load_pem_private_key(read_bounded(path, MAX_KEY, "private key"), None)
    except TypeError as error:
        raise DataError(f"{path}: the key is encrypted; decrypt it with `openssl pkey`") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise DataError(f"{path}: not a private key in PEM; {how}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise DataError(f"{path}: not an ed25519 key; {how}")
    return CryptoSigner(private, _key(private.public_key()))


def _public_key(path: Path) -> SSlibKey:
    _library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    how = "`openssl pkey -in KEY -pubout` prints it"
    try:
        public = load_pem_public_key(read_bounded(path, MAX_KEY, "public key"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise DataError(f"{path}: not a public key in PEM; {how}") from error
    if not isinstance(public, Ed25519PublicKey):
        raise DataError(f"{path}: not an ed25519 key; {how}")
    return _key(public)


def _key(public: Any) -> SSlibKey:
    """The key with an id of its own: hex sha256 of its DER form, which `openssl` can compute, too."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SSlibKey.from_crypto(public, hashlib.sha256(der).hexdigest())
