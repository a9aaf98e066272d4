"""Signed statements beside files: one in-toto Statement v1 in a DSSE envelope, signed with ed25519 keys.

An envelope is a file of one line of canonical JSON. ed25519 draws nothing, and there is no time, host or path in what
is signed, so that the same key signs the same statement with the same bytes.

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

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE: Literal["application/vnd.in-toto+json"] = "application/vnd.in-toto+json"
MAX_BYTES, MAX_KEY, MAX_SIGNATURES = 128 << 20, 1 << 16, 16


class _Signature(msgspec.Struct):
    keyid: Digest
    sig: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{86}==\Z")]


class _Envelope(msgspec.Struct):
    """What every DSSE envelope of ours has; other tools may add fields."""

    payload: str
    payloadType: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[list[_Signature], msgspec.Meta(min_length=1, max_length=MAX_SIGNATURES)]


def sign_statement(path: Path, statement: dict[str, Any], private_key: Path, remedy: str) -> str:
    """Write the envelope ``path``, beside signatures of other keys on the same statement; the key's id.

    Args:
        remedy: what to do about an envelope that is damaged, for messages.

    Raises:
        UsageError: securesystemslib is missing, or 16 keys have signed.
        DataError: not an unencrypted ed25519 key in PEM, or the file cannot be written.
    """
    signer = _signer(private_key)
    payload = canonical_json(statement)
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    if path.exists():
        try:
            earlier = _load(path, remedy)
        except RejectedError:
            earlier = None  # damaged: written anew
        if earlier is not None and earlier.payload == payload:
            envelope = earlier
    if len(envelope.signatures) >= MAX_SIGNATURES:
        raise UsageError(f"{path}: {MAX_SIGNATURES} keys have signed; remove the file to begin again")
    signature = envelope.sign(signer)
    envelope.signatures = dict(sorted(envelope.signatures.items()))
    write_bytes(path, canonical_json(envelope.to_dict()) + b"\n")
    return str(signature.keyid)


def statement_signers(path: Path, statement: dict[str, Any], about: str, remedy: str) -> list[str]:
    """Ids of the keys that are said to have signed ``statement`` in the envelope ``path``; none where it is missing.

    Args:
        about: what the statement should be about, for messages: ``another data set than manifest.json describes``.

    Raises:
        RejectedError: not an envelope, or one about another statement.
    """
    if not path.exists():
        return []
    envelope = _parse(path, remedy)
    try:
        said = json.loads(base64.b64decode(envelope.payload, validate=True))
    except (ValueError, RecursionError) as error:
        raise RejectedError(f"{path.name}: its payload is not an in-toto statement; {remedy}") from error
    if said != statement:
        raise RejectedError(f"{path.name}: it is about {about}; {remedy}")
    return [signature.keyid for signature in envelope.signatures]


def check_statement(path: Path, statement: dict[str, Any], public_key: Path, what: str, about: str, remedy: str) -> str:
    """The id of ``public_key``, which has signed ``statement`` in the envelope ``path``.

    Args:
        what: what is signed, for messages: ``the data set``.
        about: as :func:`statement_signers`.

    Raises:
        UsageError: securesystemslib is missing.
        DataError: not an ed25519 public key in PEM.
        RejectedError: not signed, signed by other keys only, or the envelope or the statement was changed since.
    """
    key = _public_key(public_key)
    names = statement_signers(path, statement, about, remedy)
    if not names:
        raise RejectedError(f"{path.name}: missing: {what} is not signed")
    if key.keyid not in names:
        raise RejectedError(f"{path.name}: signed by {', '.join(name[:12] for name in names)}, not by {key.keyid[:12]}")
    from securesystemslib.exceptions import VerificationError

    try:
        _load(path, remedy).verify([key], 1)
    except VerificationError as error:
        raise RejectedError(
            f"{path.name}: the signature of {key.keyid[:12]} is wrong: the envelope was edited"
        ) from error
    return str(key.keyid)


def _parse(path: Path, remedy: str) -> _Envelope:
    try:
        content = read_bounded(path, MAX_BYTES, "provenance")
        envelope = msgspec.json.decode(content, type=_Envelope)
        texts = [envelope.payload, *(signature.sig for signature in envelope.signatures)]
        again = [base64.b64encode(base64.b64decode(text, validate=True)).decode() for text in texts]
        if again != texts or content != canonical_json(msgspec.to_builtins(envelope)) + b"\n":
            raise RejectedError(
                f"{path.name}: its bytes are not those that fusionbench writes: it was edited; {remedy}"
            )
        return envelope
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RejectedError(f"{path.name}: not a DSSE envelope of one line ({reason}); {remedy}") from error
    except DataError as error:
        raise RejectedError(str(error)) from error


def _load(path: Path, remedy: str) -> Envelope:
    from securesystemslib.dsse import Envelope

    try:
        return Envelope.from_dict(msgspec.to_builtins(_parse(path, remedy)))
    except (ValueError, KeyError, TypeError) as error:  # two signatures of one key, no base64
        raise RejectedError(f"{path.name}: not a DSSE envelope ({error}); {remedy}") from error


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
