"""Who made which results again, and what came out: ``fusionbench.attestation/1``, a JSON file that can be signed.

The signature lies beside the file, ``NAME.intoto.jsonl``: an in-toto Statement in the form of those of data sets. Its
subjects are the file and the results, its predicate is the file's content. There is no time, host or path in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from fusionbench.core.envelopes import STATEMENT_TYPE, check_statement, sign_statement, statement_signers
from fusionbench.core.environment import describe_environment
from fusionbench.core.errors import DataError
from fusionbench.core.formats import require_format
from fusionbench.core.io import read_bounded, readable_json, write_bytes
from fusionbench.evaluation.reproduction.outcome import Outcome, Reproduction, worst_outcome
from fusionbench.evaluation.reproduction.reproduce import result_files
from fusionbench.results.image_tables import table_content, table_path
from fusionbench.results.schema import MAX_BYTES, load

SCHEMA = "fusionbench.attestation/1"
MAX_ATTESTATION = 64 << 20
PREDICATE_TYPE = "tag:fusionbench,2026:reproduction/1"  # a name of ours by RFC 4151
_ABOUT = "another attestation than the file beside it"
_REMEDY = "sign it again with `fusionbench reproduce … -o FILE --sign KEY`"


class Attestation(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``fusionbench``, ``environment``: what made the results again. ``reproductions``: what came out."""

    schema: Literal["fusionbench.attestation/1"] = "fusionbench.attestation/1"
    fusionbench: str
    environment: dict[str, Any]
    reproductions: list[Reproduction]

    @property
    def outcome(self) -> Outcome:
        """The one that decides."""
        return worst_outcome(self.reproductions)


def attest(reproductions: Sequence[Reproduction]) -> Attestation:
    """The attestation of what :func:`fusionbench.evaluation.reproduction.reproduce.reproduce` gave here.

    Example:
        >>> from fusionbench.evaluation.reproduction.attestation import attest
        >>> from fusionbench.evaluation.reproduction.outcome import Reproduction
        >>> attestation = attest([Reproduction(file="average/result.json", outcome="same", images=3, of=3)])
        >>> attestation.schema, attestation.outcome, sorted(attestation.environment)[:3]
        ('fusionbench.attestation/1', 'same', ['code', 'cpu', 'machine'])
    """
    from fusionbench import __version__

    return Attestation(fusionbench=__version__, environment=describe_environment(), reproductions=list(reproductions))


def signature_file(path: Path) -> Path:
    """Where the signature of the attestation in ``path`` lies: ``a.intoto.jsonl`` beside ``a.json``."""
    return path.with_name(f"{path.name.removesuffix('.json')}.intoto.jsonl")


def write_attestation(path: Path, attestation: Attestation, private_key: Path | None = None) -> str | None:
    """Write the file, signed with an ed25519 key (PEM) where one is named; the key's id.

    Raises:
        UsageError: securesystemslib is missing.
        DataError: not an unencrypted ed25519 key in PEM, or the folder cannot be written.
    """
    content = readable_json(msgspec.to_builtins(attestation))
    write_bytes(path, content)
    if private_key is None:
        signature_file(path).unlink(missing_ok=True)  # it was of what lay here before
        return None
    return sign_statement(signature_file(path), _statement(path.name, content), private_key, _REMEDY)


def read_attestation(path: Path) -> tuple[Attestation, bytes]:
    """An attestation, read strictly, and its bytes.

    Raises:
        DataError: missing, too large, of another format, or an outcome that its own scores do not have.
    """
    content = read_bounded(path, MAX_ATTESTATION, "attestation")
    try:
        head = msgspec.json.decode(content)
        if isinstance(head, dict):
            require_format(head.get("schema"), SCHEMA, path, head.get("fusionbench"))
        attestation = msgspec.json.decode(content, type=Attestation)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a {SCHEMA} file: {error}") from error
    for one in attestation.reproductions:
        if one.outcome == "same" and not (one.scores and all(score.same for score in one.scores.values())):
            raise DataError(f"{path}: says that {one.file} is the same, and its scores do not; it was edited by hand")
    return attestation, content


def _statement(name: str, content: bytes) -> dict[str, Any]:
    """The in-toto Statement about the attestation with this content, and the results that it names."""
    attestation = msgspec.json.decode(content)
    subjects = [{"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}]
    subjects += [
        {"name": one["file"], "digest": {"sha256": one["result_sha256"]}}
        for one in attestation["reproductions"]
        if one["result_sha256"]
    ]
    return {"_type": STATEMENT_TYPE, "subject": subjects, "predicateType": PREDICATE_TYPE, "predicate": attestation}


@dataclass(frozen=True)
class AttestedResult:
    """What an attestation says about one result: the outcome, or why it says nothing about these bytes."""

    file: str
    outcome: Outcome | None
    reason: str = ""
    partial: bool = False


@dataclass(frozen=True)
class CheckedAttestation:
    """``signer``: the id of the key that was checked. ``signed_by``: ids that nobody checked."""

    results: list[AttestedResult]
    signer: str | None
    signed_by: list[str]

    @property
    def ok(self) -> bool:
        """Whether all results are attested to be the same."""
        return all(one.outcome == "same" for one in self.results)


def check_attestation(path: Path, results: Sequence[str | Path], public_key: Path | None = None) -> CheckedAttestation:
    """What the attestation in ``path`` says about results, which are compared with it by their bytes.

    Args:
        public_key: the ed25519 public key (PEM) that must have signed.

    Raises:
        UsageError: securesystemslib is missing.
        DataError: no attestation, no results, or not a key.
        RejectedError: not signed by that key, or envelope or attestation were changed since.
    """
    attestation, content = read_attestation(path)
    statement = _statement(path.name, content)
    signer, names = None, []
    if public_key is not None:
        signed = signature_file(path)
        signer = check_statement(signed, statement, public_key, "the attestation", _ABOUT, _REMEDY)
    else:
        names = statement_signers(signature_file(path), statement, _ABOUT, _REMEDY)
    known = {one.result_sha256: one for one in attestation.reproductions if one.result_sha256}
    return CheckedAttestation([_attested(file, name, known) for file, name in result_files(results)], signer, names)


def _attested(file: Path, name: str, known: dict[str, Reproduction]) -> AttestedResult:
    sha256 = hashlib.sha256(read_bounded(file, MAX_BYTES, "result")).hexdigest()
    one = known.get(sha256)
    if one is None:
        return AttestedResult(name, None, "not attested: no result with these bytes")
    if one.table_sha256 is not None:
        try:
            content = table_content(table_path(load(file), file))
        except DataError as error:
            return AttestedResult(name, None, str(error))
        if hashlib.sha256(content).hexdigest() != one.table_sha256:
            return AttestedResult(name, None, "not attested: its per-image table is another one")
    return AttestedResult(name, one.outcome, one.reason, one.partial)
