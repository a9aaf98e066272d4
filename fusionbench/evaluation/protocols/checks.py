"""The checks of the contract of protocols, for one of your own: ``fusionbench check my_protocol.py:PROTOCOL``.

The data are the embedded pairs, or what ``--data`` names; the model is the average of the views.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from fusionbench.core.contract_report import ContractReport, run_checks, that
from fusionbench.core.errors import FusionbenchError, UsageError
from fusionbench.evaluation.protocols.base import OPENS, BaseProtocol, read_options
from fusionbench.evaluation.protocols.flags import command_flags

_TAKEN = {"data", "device", "force", "limit", "name", "option", "out", "protocol", "runs", "split"}
_TAKEN |= {"config", "data_root", "json", "plugin", "quiet", "verbose"}


@dataclass
class ProtocolCandidate:
    """A protocol under the checks, and what it opens."""

    protocol: BaseProtocol
    data: str

    @cached_property
    def opened(self) -> Any:
        """The first two images, opened."""
        return self.protocol.open(self.data, self.protocol.options(limit=2))

    @cached_property
    def model(self) -> Any:
        """A model without weights, for the protocol's shape."""
        from fusionbench.models import create_model

        return create_model("average", self.protocol.spec(self.opened))


def protocol_has_its_texts(candidate: ProtocolCandidate) -> None:
    """name, version, title and about are texts; there are columns"""
    protocol = candidate.protocol
    that(isinstance(protocol, BaseProtocol), f"is a {type(protocol).__name__}, not a BaseProtocol")
    for key in ("name", "version", "title", "about", "lacks", "no_images"):
        text = getattr(protocol, key, None)
        that(isinstance(text, str) and text and text == text.strip() and "\n" not in text, f"{key} is no line of text")
    that(
        protocol.columns and len(set(protocol.columns)) == len(protocol.columns), "columns are missing, or twice there"
    )


def options_have_defaults(candidate: ProtocolCandidate) -> None:
    """every option has a default and is not one that all protocols have; limit is understood, an unknown one refused"""
    protocol = candidate.protocol
    clash = (protocol.own_options.keys() | protocol.takes) & _TAKEN
    that(not clash, f"{sorted(clash)} are options of every protocol")
    that(msgspec.NODEFAULT not in protocol.own_options.values(), "an option has no default")
    that(read_options({"name": protocol.key}, Path("suite.toml")) == protocol.options(), "a suite has other defaults")
    command_flags(protocol)
    for wrong in ({"nothing": 1}, {"limit": 0}):
        try:
            protocol.options(**wrong)
        except UsageError:
            continue
        that(False, f"takes {wrong}")


def a_limit_scores_the_first_images(candidate: ProtocolCandidate) -> None:
    """limit=2 opens the first two images, and the identity of the data tells it from all"""
    protocol = candidate.protocol
    few, whole = candidate.opened.identity, protocol.open(candidate.data, protocol.options()).identity
    that(few.n == 2 < whole.n, f"{few.n} images with limit=2, {whole.n} without")
    that((few.name, few.split, few.id) == (whole.name, whole.split, whole.id), "name, split or id depend on the limit")
    that(few.ids_sha256 != whole.ids_sha256, "ids_sha256 does not depend on the limit")


def a_model_is_scored(candidate: ProtocolCandidate) -> None:
    """the average of the views has scores under the columns, the same again, one value an image"""
    protocol, options = candidate.protocol, candidate.protocol.options(limit=2)
    results = [protocol.evaluate(candidate.model, candidate.opened, options, out=None, device="cpu") for _ in range(2)]
    one, two = ({key: score.mean for key, score in result.scores.items()} for result in results)
    that(one, "there are no scores")
    that(one == two, "scores differ the second time")
    that(all(score.n == 2 for score in results[0].scores.values()), "a score is not one value for each of two images")
    from fusionbench.results.input_means import matches

    for column in protocol.columns:
        if column.partition("@")[0] in results[0].identity.metrics:
            that(any(matches(key, column) for key in one), f"the column {column} has no score")


def data_that_are_not_there_are_told(candidate: ProtocolCandidate) -> None:
    """data or a split that are not there are one line for people (FusionbenchError)"""
    protocol = candidate.protocol
    for data, split in (("no-such-data-anywhere", None), (candidate.data, "no-such-split")):
        try:
            protocol.open(data, protocol.options(), split=split)
        except FusionbenchError as error:
            that("\n" not in str(error), "the message has several lines")
            continue
        that(False, f"opens {data} {split or ''}")


def opens_with_what_it_takes(candidate: ProtocolCandidate) -> None:
    """open and evaluate have a keyword for everything in takes"""
    import inspect

    protocol = candidate.protocol
    opens = inspect.signature(protocol.open).parameters.keys()
    that(protocol.takes & OPENS <= opens, f"open has no {sorted((protocol.takes & OPENS) - opens)}")
    evaluates = inspect.signature(protocol.evaluate).parameters.keys()
    that(protocol.takes - OPENS <= evaluates, f"evaluate has no {sorted(protocol.takes - OPENS - evaluates)}")


CHECKS: dict[str, Callable[[ProtocolCandidate], None]] = {
    check.__name__: check
    for check in (
        protocol_has_its_texts,
        options_have_defaults,
        a_limit_scores_the_first_images,
        a_model_is_scored,
        data_that_are_not_there_are_told,
        opens_with_what_it_takes,
    )
}


def check_own_protocol(protocol: BaseProtocol, data: str = "pairs-demo") -> ContractReport:
    """Run every check on a registered protocol, with the embedded pairs or other ``data``."""
    return run_checks(ContractReport(protocol.key, None, kind="protocol"), ProtocolCandidate(protocol, data), CHECKS)
