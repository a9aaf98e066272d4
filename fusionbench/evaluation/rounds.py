"""Rounds: weights are scored on views that nobody has seen, and anybody can check that afterwards.

A round has a secret of 256 bits. Its public record commits to the secret by a hash, so that the maintainer cannot
choose another one later, and the results of the round name it. The seed of the views follows from the secret, the
recipe, the split and the round. When the round is over the secret is published in the record: everybody can then make
the same views and score the same weights again.

Example:
    >>> from fusionbench.evaluation.rounds import check_round, make_round, revealed_round, seed_of_round
    >>> round_, secret = make_round("quickstart", images=296)
    >>> len(round_.commitment), round_.public_secret is None, "secret=" in repr(secret)
    (64, True, False)
    >>> seed = seed_of_round(check_round(round_, secret), secret)
    >>> opened = revealed_round(round_, secret)
    >>> opened.commitment == round_.commitment, seed.bit_length() > 200
    (True, True)
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fusionbench.core.errors import DataError, RejectedError, UsageError
from fusionbench.core.formats import read_json
from fusionbench.core.io import canonical_json, read_bounded, write_bytes
from fusionbench.core.text import Count, Digest, RecipeName, SuiteName

ROUND = "fusionbench.round/1"
SECRET = "fusionbench.secret/1"
MAX_RECORD = 64 << 10  # bytes
_COMMITMENT, _SEED = f"{ROUND} commitment", f"{ROUND} seed"  # what a digest is of, so that none stands for another
RoundId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{16}\Z")]
Moment = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\+00:00\Z")]


class RoundSecret(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What only the maintainer has until the round is revealed; ``repr`` does not show it."""

    schema: Literal["fusionbench.secret/1"] = "fusionbench.secret/1"
    round: RoundId
    secret: Digest
    salt: Digest

    def __repr__(self) -> str:
        return f"RoundSecret(round={self.round!r})"


class Round(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """The public record of a round.

    Attributes:
        id: the first 16 digits of ``commitment``.
        suite, dataset, split: what is scored.
        recipe: hash of the recipe whose targets are scored; its seed is what the round replaces.
        n: number of images, null where the record was made without the data and the suite has no limit.
        created: when the secret was made, UTC.
        commitment: sha256 over a tag, secret, salt, suite, recipe, split, ``n`` and ``created``.
        secret, salt, revealed: the secret, and when it was published; not there before.
    """

    schema: Literal["fusionbench.round/1"] = "fusionbench.round/1"
    id: RoundId
    suite: SuiteName
    dataset: RecipeName
    split: RecipeName
    recipe: Digest
    n: Count | None = None
    created: Moment
    commitment: Digest
    secret: Digest | msgspec.UnsetType = msgspec.UNSET
    salt: Digest | msgspec.UnsetType = msgspec.UNSET
    revealed: Moment | msgspec.UnsetType = msgspec.UNSET

    @property
    def public_secret(self) -> RoundSecret | None:
        """The secret of a round that was revealed; None before."""
        if self.secret is msgspec.UNSET or self.salt is msgspec.UNSET:
            return None
        return RoundSecret(round=self.id, secret=self.secret, salt=self.salt)


def make_round(suite: str, images: int | None = None) -> tuple[Round, RoundSecret]:
    """A new round of a suite: its public record, and its secret from the system's source of randomness.

    Args:
        images: number of images of the split, where that is known; the suite's limit counts if it is smaller.

    Raises:
        UsageError, DataError: no such suite, or one whose views are not made from a seed.

    Example:
        >>> from fusionbench.evaluation.rounds import make_round
        >>> make_round("quickstart")[0].dataset
        'fusiondigits'
    """
    from fusionbench.data.recipes import load_recipe
    from fusionbench.evaluation.protocols import PROTOCOLS
    from fusionbench.evaluation.suites import load_suite

    rules = load_suite(suite)
    if not PROTOCOLS.get(rules.protocol.name).seeded_views:
        raise UsageError(f"{suite}: its protocol {rules.protocol.name} scores no views that are made from a seed")
    recipe = load_recipe(rules.dataset)
    if rules.split not in recipe.splits or not recipe.made_views(rules.split):
        raise UsageError(f"{suite}: the views of {rules.dataset} {rules.split} are not made from a seed")
    known = [number for number in (images, rules.protocol.limit) if number is not None]
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about: dict[str, Any] = {"suite": rules.name, "dataset": recipe.name, "split": rules.split, "recipe": recipe.hash}
    secret, salt = secrets.token_hex(32), secrets.token_hex(32)
    draft = Round(id="0" * 16, **about, n=min(known, default=None), created=now, commitment="0" * 64)
    commitment = _commitment(draft, secret, salt)
    made = msgspec.structs.replace(draft, id=commitment[:16], commitment=commitment)
    return made, RoundSecret(round=made.id, secret=secret, salt=salt)


def _commitment(about: Round, secret: str, salt: str) -> str:
    said = {name: getattr(about, name) for name in ("suite", "dataset", "split", "recipe", "n", "created")}
    return hashlib.sha256(canonical_json({"domain": _COMMITMENT, "secret": secret, "salt": salt, **said})).hexdigest()


def check_round(round_: Round, secret: RoundSecret) -> Round:
    """The round, when the secret is the one that its record committed to.

    Raises:
        RejectedError: it is another one, or the record was edited.

    Example:
        >>> from fusionbench.evaluation.rounds import check_round, make_round
        >>> round_, secret = make_round("quickstart")
        >>> check_round(round_, secret) is round_
        True
    """
    found = _commitment(round_, secret.secret, secret.salt)
    if secret.round != round_.id or not hmac.compare_digest(found, round_.commitment):
        raise RejectedError(
            f"the secret is not the one that round {round_.id} committed to, or the record of the round was edited"
        )
    return round_


def seed_of_round(round_: Round, secret: RoundSecret) -> int:
    """The seed of the views of a round, 256 bits: HMAC-SHA256 with the secret over recipe, split and round.

    Example:
        >>> from fusionbench.evaluation.rounds import make_round, seed_of_round
        >>> (one, first), (other, second) = make_round("quickstart"), make_round("quickstart")
        >>> seed_of_round(one, first) == seed_of_round(other, second)
        False
    """
    about = {"domain": _SEED, "recipe": round_.recipe, "split": round_.split, "round": round_.id}
    key = bytes.fromhex(secret.secret)
    return int.from_bytes(hmac.digest(key, canonical_json(about), "sha256"), "big")


def revealed_round(round_: Round, secret: RoundSecret) -> Round:
    """The record with its secret, to be published when no more weights are accepted.

    Raises:
        RejectedError: another secret.

    Example:
        >>> from fusionbench.evaluation.rounds import make_round, revealed_round
        >>> revealed_round(*make_round("quickstart")).public_secret is None
        False
    """
    check_round(round_, secret)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return msgspec.structs.replace(round_, secret=secret.secret, salt=secret.salt, revealed=now)


def read_round(path: Path) -> Round:
    """A public record.

    Raises:
        DataError: missing, not a record, or its id is not that of its commitment.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.evaluation.rounds import make_round, read_round, write_round
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_round(Path(folder) / "round.json", made := make_round("quickstart")[0])
        ...     read_round(Path(folder) / "round.json") == made
        True
    """
    try:
        found = read_json(read_bounded(path, MAX_RECORD, "record of a round"), Round, path, (Round,))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a {ROUND} record: {error}") from error
    if found.id != found.commitment[:16]:
        raise DataError(f"{path}: its id is not that of its commitment; it was edited, ask for the published record")
    if len({found.secret is msgspec.UNSET, found.salt is msgspec.UNSET, found.revealed is msgspec.UNSET}) > 1:
        raise DataError(f"{path}: a revealed round has `secret`, `salt` and `revealed`; it was edited")
    return found


def write_round(path: Path, round_: Round) -> None:
    """Write a public record.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.evaluation.rounds import make_round, write_round
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_round(Path(folder) / "round.json", make_round("quickstart")[0])
        ...     print((Path(folder) / "round.json").read_text().count("secret"))
        0
    """
    write_bytes(path, msgspec.json.format(msgspec.json.encode(round_), indent=1) + b"\n")


def read_secret(path: Path) -> RoundSecret:
    """A secret; nothing of it is in any message.

    Raises:
        DataError: missing, or not a secret.
        UsageError: other users can read the file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.evaluation.rounds import make_round, read_secret, write_secret
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_secret(Path(folder) / "key", secret := make_round("quickstart")[1])
        ...     read_secret(Path(folder) / "key") == secret
        True
    """
    content = read_bounded(path, MAX_RECORD, "secret of a round")
    if os.name == "posix" and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        raise UsageError(f"{path}: other users can read the secret; run `chmod 600` on it, or make a new round")
    try:
        return read_json(content, RoundSecret, path, (RoundSecret,))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise DataError(f"{path}: not a {SECRET} file; `fusionbench round new` makes one") from None


def write_secret(path: Path, secret: RoundSecret) -> None:
    """Write a secret into a new file that only its owner can read.

    Raises:
        UsageError: there is a file already: a secret is never written over.
        DataError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.evaluation.rounds import make_round, write_secret
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_secret(Path(folder) / "key", make_round("quickstart")[1])
        ...     oct((Path(folder) / "key").stat().st_mode & 0o777)
        '0o600'
    """
    write_secret_text(path, msgspec.json.format(msgspec.json.encode(secret), indent=1).decode() + "\n")


def write_secret_text(path: Path, text: str) -> None:
    """Write the content of a secret, which is not looked at, into a new file that only its owner can read.

    Raises:
        UsageError, DataError: as :func:`write_secret`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fusionbench.evaluation.rounds import write_secret_text
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_secret_text(Path(folder) / "key", "{}")
        ...     oct((Path(folder) / "key").stat().st_mode & 0o777)
        '0o600'
    """
    content = text.encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
    except FileExistsError as error:
        raise UsageError(f"{path}: is there already; a secret is never written over, name another file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot write: {error.strerror or error}; check the folder") from error
