"""Protocols, one per file: what a model is given, what is scored, and what identifies the result.

A new protocol is its file plus one line here; a third-party package uses the entry-point group
``fusionbench.protocols``. Names are ``NAME/VERSION``, as results and suites write them.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from fusionbench.core.errors import FusionbenchError
from fusionbench.core.registry import Registry

if TYPE_CHECKING:
    from fusionbench.evaluation.protocols.base import BaseProtocol

PROTOCOLS: Registry[BaseProtocol] = Registry(
    "protocol",
    "fusionbench.protocols",
    {
        "detection/1": "fusionbench.evaluation.protocols.detection:PROTOCOL",
        "masked/1": "fusionbench.evaluation.protocols.masked:PROTOCOL",
        "multi-exposure/1": "fusionbench.evaluation.protocols.multi_exposure:PROTOCOL",
        "multi-focus/1": "fusionbench.evaluation.protocols.multi_focus:PROTOCOL",
        "pairs/1": "fusionbench.evaluation.protocols.pairs:PROTOCOL",
        "pairs-robust/1": "fusionbench.evaluation.protocols.pairs_robust:PROTOCOL",
        "probe/1": "fusionbench.evaluation.protocols.probe:PROTOCOL",
    },
    see="fusionbench list protocols",
    accepts=lambda found: (
        not isinstance(found, type) and all(hasattr(found, one) for one in ("key", "measure", "takes"))
    ),
    name_of=lambda found: str(found.key),
)
DEFAULT = "masked/1"  # of suites that name none, and of data that no other protocol claims
OLDEST = (DEFAULT, "pairs/1")  # first where protocols are listed or asked in turn


def protocol_order() -> list[str]:
    """Names of all protocols in the order in which they are asked and named in messages: the two oldest, other built-in
    ones, those of other packages.

    Example:
        >>> from fusionbench.evaluation.protocols import protocol_order
        >>> protocol_order()[:2]
        ['masked/1', 'pairs/1']
    """
    return sorted(PROTOCOLS.names(), key=_age)


def _age(name: str) -> tuple[bool, bool, tuple[str, str, str]]:
    return PROTOCOLS.is_plugin(name), name not in OLDEST, name.partition("/")


def find_protocol(name: str) -> BaseProtocol:
    """A protocol by its name with or without the version: ``pairs`` is the newest version of pairs.

    Raises:
        UsageError: no such protocol, with a suggestion, or one that cannot be imported.

    Example:
        >>> from fusionbench.evaluation.protocols import PROTOCOLS, find_protocol
        >>> find_protocol("pairs") is PROTOCOLS.get("pairs/1"), find_protocol("masked").title
        (True, 'masked views')
    """
    versions = [key for key in PROTOCOLS.names() if key.rpartition("/")[0] == name]
    newest = max(versions, key=lambda key: (len(key), key), default=name)  # 10 after 9
    return PROTOCOLS.get(newest)


def protocol_for(data: str, source_dir: Path | None = None) -> BaseProtocol:
    """The protocol for the data that somebody names without saying how to score them: the first that claims them.

    Built-in protocols are asked before those of other packages; ``masked/1`` where none claims the data.

    Raises:
        DataError: data sets there that cannot be opened.
    """
    for name in protocol_order():
        protocol = known_protocol(name)
        if protocol is not None and protocol.claims(data, source_dir):
            return protocol
    return PROTOCOLS.get(DEFAULT)


def known_protocol(name: str) -> BaseProtocol | None:
    """The protocol ``NAME/VERSION``; None where it is not installed here, or cannot be imported.

    Results of any protocol can be read, compared and shown without it.

    Example:
        >>> from fusionbench.evaluation.protocols import known_protocol
        >>> known_protocol("pairs/1").title, known_protocol("published/1")
        ('registered pairs', None)
    """
    if name in PROTOCOLS.names():
        with contextlib.suppress(FusionbenchError):
            return PROTOCOLS.get(name)
    return None
