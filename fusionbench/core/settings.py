"""Defaults of a user's own: where data sets, runs and results lie, which device, how many processes.

The command line comes first, then an environment variable, then a TOML file, then fusionbench's own default. The file
is the one that the user names (``--config``, ``FUSIONBENCH_CONFIG``), else ``config.toml`` in the user's own
configuration folder. A file in the working folder is never read: a folder that somebody else made could send data
elsewhere or name Python files to run.

    # ~/.config/fusionbench/config.toml
    data_root = "/big/data"
    device = "cuda:1"
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fusionbench.core.documents import parse_toml
from fusionbench.core.errors import DataError, UsageError, unknown_name
from fusionbench.core.io import read_bounded

CONFIG = "FUSIONBENCH_CONFIG"
MAX_BYTES = 1 << 16
Kind = Literal["folder", "text", "count", "plugins"]


@dataclass(frozen=True)
class Setting:
    """What can be set: its key in the file, its environment variable, and the option that it is the default of.

    Attributes:
        kind: ``folder`` (below the file's own folder where it is relative), ``text``, ``count`` (a whole number from 0)
            or ``plugins`` (an array of Python files).
        default: what fusionbench uses without it.
    """

    key: str
    about: str
    option: str
    kind: Kind = "folder"
    default: str | int | None = None

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"FUSIONBENCH_{self.key.upper()}"


SETTINGS = {
    one.key: one
    for one in (
        Setting("data_root", "where data sets lie, and `generate` makes them", "--data-root", default="data"),
        Setting("results_root", "root of results", "--out of evaluate, run, score and accept", default="results"),
        Setting("runs_root", "root of training runs", "--out of train, --runs of run", default="runs"),
        Setting("device", "auto, cpu, cuda or cuda:1", "--device", "text", "auto"),
        Setting("precision", "of training: auto, fp32, tf32 or bf16", "--precision", "text", "auto"),
        Setting("jobs", "processes; 0: as many as help", "--jobs", "count", 0),
        Setting("plugins", "Python files with models, metrics, sources and protocols", "--plugin", "plugins"),
    )
}
# read where they are needed, and by environment alone
OTHER_VARIABLES = {
    CONFIG: "the file with these settings; empty: none",
    "FUSIONBENCH_CACHE": "folder of what is fetched from URLs",
    "FUSIONBENCH_CACHE_SIZE": "bytes that it may hold, such as 20G",
    "FUSIONBENCH_OFFLINE": "1: use the cache alone",
    "FUSIONBENCH_KERNEL": "loops of the generator: auto, numpy or numba",
    "FUSIONBENCH_ROUND_SECRET": "secret of a round of a leaderboard; never shown",
}


@dataclass(frozen=True)
class Value:
    """A setting that somebody made: its value, and the variable or the file that it is from."""

    value: Any
    origin: str
    from_environment: bool


def user_config_file() -> Path:
    """``config.toml`` in the folder that the system has for a user's configuration."""
    import click

    return Path(click.get_app_dir("fusionbench")) / "config.toml"


def config_file(named: Path | None = None) -> Path | None:
    """The file whose settings count: the one that is named, that of ``FUSIONBENCH_CONFIG``, or the user's own.

    None where the variable is empty, or nothing is named and the user has none.

    Raises:
        DataError: a file that is named and is not there.
    """
    if named is None and (text := os.environ.get(CONFIG)) is not None:
        if not text:
            return None
        named = Path(text)
    if named is None:
        own = user_config_file()  # relative where no home folder is known: then it would be of the working folder
        return own if own.is_absolute() and own.is_file() else None
    if not named.is_file():
        raise DataError(f"{named}: no such file of settings; write one, or leave out --config and {CONFIG}")
    return named


class Settings:
    """What environment and file say; see :data:`SETTINGS` for the keys.

    Args:
        file: the TOML file, or None.
        environment: the variables; by default those of this process.

    Raises:
        DataError: a file that is no TOML, has an unknown key or a value that the key cannot have.
        UsageError: a variable with a value that it cannot have.

    Example:
        >>> from fusionbench.core.settings import Settings
        >>> found = Settings(None, {"FUSIONBENCH_DATA_ROOT": "/big/data", "FUSIONBENCH_JOBS": "4"})
        >>> found.get("data_root").value, found.get("jobs").value, found.get("device")
        ('/big/data', 4, None)
    """

    def __init__(self, file: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.file = file
        self._values: dict[str, Value] = {} if file is None else _read(file)
        for setting in SETTINGS.values():
            if text := (os.environ if environment is None else environment).get(setting.variable):
                value = _from_text(setting, text)
                self._values[setting.key] = Value(value, setting.variable, from_environment=True)

    def get(self, key: str) -> Value | None:
        """What somebody set; None: fusionbench's own default holds."""
        return self._values.get(key)

    def value(self, key: str) -> Any:
        """What holds: the value that was set, or fusionbench's own default."""
        found = self.get(key)
        return SETTINGS[key].default if found is None else found.value


def _read(file: Path) -> dict[str, Value]:
    body = parse_toml(read_bounded(file, MAX_BYTES, "file of settings"), str(file), "file of settings", MAX_BYTES)
    for key in body:
        if key not in SETTINGS:
            raise DataError(f"{file}: {unknown_name('setting', key, SETTINGS, 'fusionbench config')}")
    return {key: Value(_checked(SETTINGS[key], value, file), str(file), False) for key, value in body.items()}


def _checked(setting: Setting, value: Any, file: Path) -> Any:
    """A value of the file as its setting takes it."""
    wanted = {"count": "a whole number from 0", "plugins": "an array of Python files"}
    if setting.kind == "count":
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1 << 16:
            return value
    elif setting.kind == "plugins":
        if isinstance(value, list) and all(isinstance(one, str) and one for one in value):
            return [_placed(setting, one, file) for one in value]
    elif isinstance(value, str) and value and "\0" not in value:
        return _placed(setting, value, file) if setting.kind == "folder" and "://" not in value else value
    raise DataError(f"{file}: {setting.key} is {wanted.get(setting.kind, 'a text')}, such as {_EXAMPLES[setting.kind]}")


def _placed(setting: Setting, text: str, file: Path) -> str:
    """A path of the file: below the file's own folder where it is relative, ``~`` and ``~name`` replaced."""
    try:
        return str(file.resolve().parent / Path(text).expanduser())
    except RuntimeError as error:  # unknown users, and systems that know no home folder
        user = Path(text).parts[0]
        raise DataError(f"{file}: {setting.key}: no home folder of {user} is known; write a full path") from error


_EXAMPLES = {"folder": '"/big/data"', "text": '"cuda:1"', "count": "4", "plugins": '["my_model.py"]'}


def _from_text(setting: Setting, text: str) -> Any:
    if setting.kind == "count":
        if not text.isascii() or not text.isdecimal() or len(text) > 5:
            raise UsageError(f"{setting.variable}={text!r} is no whole number from 0; correct or unset the variable")
        return int(text)
    return [part for part in text.split(";") if part] if setting.kind == "plugins" else text
