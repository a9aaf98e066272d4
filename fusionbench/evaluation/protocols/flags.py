"""How the command line has the options of one protocol: their spelling, what kind of value they take, and a help line.

A protocol describes its options in ``flags``; one that it leaves out is spelled like its name, ``--blur`` for ``blur``,
and takes what its default and its type say.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec.inspect import BoolType, FloatType, IntType, LiteralType, NoneType, StrType, Type, UnionType, type_info

if TYPE_CHECKING:
    from fusionbench.evaluation.protocols.base import BaseProtocol

Form = Literal["switch", "toggle", "integer", "number", "text", "folder", "value"]
_FORMS: tuple[tuple[type[Type], Form], ...] = (
    (BoolType, "switch"),
    (IntType, "integer"),
    (FloatType, "number"),
    (StrType, "text"),
)


@dataclass(frozen=True)
class Flag:
    """What a protocol says about one of its options.

    Attributes:
        about: its line of help, a sentence.
        spellings: how it is written, for example ``("-k", "--samples")``; empty for ``--name-of-the-option``. Those of
            a toggle are ``--with/--without``.
        form: ``switch`` (on when given), ``toggle`` (on, off, or left to the protocol), ``integer``, ``number``,
            ``text``, ``folder``, or ``value`` (TOML, as ``--option`` takes it); None for what the default and the type
            of the option say.
        metavar: what the help shows for the value.
        former: former spelling -> the value that it gives; accepted with a warning, for toggles.
    """

    about: str = ""
    spellings: tuple[str, ...] = ()
    form: Form | None = None
    metavar: str | None = None
    former: Mapping[str, bool] = field(default_factory=dict)

    def spelled(self, option: str) -> tuple[str, ...]:
        """The spellings of the option that is called so.

        Example:
            >>> from fusionbench.evaluation.protocols.flags import Flag
            >>> Flag().spelled("range_a"), Flag(spellings=("-k", "--samples")).spelled("draws")
            (('--range-a',), ('-k', '--samples'))
        """
        return self.spellings or (f"--{option.replace('_', '-')}",)


@dataclass(frozen=True)
class CommandFlag:
    """An option of a protocol as a command takes it.

    Attributes:
        option: what the protocol calls it.
        spellings, form, about, metavar, former: as in :class:`Flag`.
        default: what is used without it.
        least: smallest integer; None where there is none.
    """

    option: str
    spellings: tuple[str, ...]
    form: Form
    about: str
    default: Any
    metavar: str | None = None
    least: int | None = None
    former: Mapping[str, bool] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The spelling that messages use: the long one, and of a toggle the one that switches it on.

        Example:
            >>> from fusionbench.evaluation.protocols import PROTOCOLS
            >>> from fusionbench.evaluation.protocols.flags import command_flags
            >>> command_flags(PROTOCOLS.get("masked/1"))["draws"].name
            '--samples'
        """
        return max(self.spellings, key=len).partition("/")[0]


def command_flags(protocol: BaseProtocol) -> dict[str, CommandFlag]:
    """Option -> how a command takes it, of every option of a protocol but ``limit``, which all have.

    First those that change a score, then those that it ``takes`` beside them.

    Example:
        >>> from fusionbench.evaluation.protocols import PROTOCOLS
        >>> from fusionbench.evaluation.protocols.flags import command_flags
        >>> found = command_flags(PROTOCOLS.get("masked/1"))
        >>> [(name, found[name].form, found[name].least) for name in ("draws", "seed", "curves")]
        [('draws', 'integer', 1), ('seed', 'integer', None), ('curves', 'switch', None)]
    """
    types = {one.name: one.type for one in msgspec.structs.fields(protocol.Options)}
    found = {}
    for option, default in protocol.own_options.items():
        kind = type_info(types[option])
        found[option] = _command_flag(protocol, option, default, _form(kind, default), _least(kind))
    defaults = _keyword_defaults(protocol)
    for option in sorted(protocol.takes, key=lambda name: (*list(defaults), name).index(name)):
        default = defaults.get(option)
        found[option] = _command_flag(protocol, option, default, "switch" if default is False else "text", None)
    return found


def _command_flag(protocol: BaseProtocol, option: str, default: Any, form: Form, least: int | None) -> CommandFlag:
    said = protocol.flags.get(option) or SHARED.get(option) or Flag()
    form = said.form or form
    spellings = said.spelled(option)
    if form == "toggle" and not any("/" in spelling for spelling in spellings):
        name = spellings[-1].removeprefix("--")
        spellings = (f"--{name}/--no-{name}",)
    return CommandFlag(option, spellings, form, said.about, default, said.metavar, least, said.former)


def _form(kind: Type, default: Any) -> Form:
    """How values of a type are given: of a union as its first member says that is no None."""
    if isinstance(kind, UnionType):
        kinds = [member for member in kind.types if not isinstance(member, NoneType)]
        kind = next((member for member in kinds if isinstance(member, BoolType)), kinds[0])
    if isinstance(kind, LiteralType):
        return "text" if all(isinstance(value, str) for value in kind.values) else "value"
    form: Form = next((form for of, form in _FORMS if isinstance(kind, of)), "value")
    return "toggle" if form == "switch" and default is True else form


def _least(kind: Type) -> int | None:
    return kind.ge if isinstance(kind, IntType) else None


def _keyword_defaults(protocol: BaseProtocol) -> dict[str, Any]:
    """Keyword of ``open`` or ``evaluate`` -> its default."""
    parameters = {**inspect.signature(protocol.open).parameters, **inspect.signature(protocol.evaluate).parameters}
    return {name: one.default for name, one in parameters.items() if one.default is not inspect.Parameter.empty}


SHARED: Mapping[str, Flag] = {  # what ``open`` of any protocol may take
    "source_dir": Flag("Folder of the files of the source --data.", form="folder"),
    "strict": Flag("Refuse images without a partner.", form="switch"),
}
