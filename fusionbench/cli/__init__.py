"""The command line: one file per group of verbs, loaded on use so that ``--help`` is instant.

stdout is data, stderr is talk. Exit codes: 0 fine, 1 regression or rejection, 2 usage,
3 could not measure, 4 not comparable; 75 when --stop-after ended the work; 130 after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from fusionbench import __version__
from fusionbench.cli.common_options import common_options, with_common_options
from fusionbench.core.allocator import keep_freed_memory
from fusionbench.core.errors import FusionbenchError, unknown_name
from fusionbench.core.interrupts import one_interrupt

# verb -> (module, section of --help); the command object is the module's attribute of the verb's name
VERBS: dict[str, tuple[str, str]] = {
    "quickstart": ("quickstart", "Start here"),
    "doctor": ("doctor", "Start here"),
    "list": ("catalogue", "Start here"),
    "describe": ("catalogue", "Start here"),
    "new": ("new", "Start here"),
    "config": ("config", "Start here"),
    "fetch": ("fetch", "Data sets"),
    "generate": ("generate", "Data sets"),
    "verify": ("verify", "Data sets"),
    "preview": ("preview", "Data sets"),
    "plan": ("datasets", "Data sets"),
    "status": ("datasets", "Data sets"),
    "sample": ("datasets", "Data sets"),
    "diff": ("datasets", "Data sets"),
    "recipe": ("datasets", "Data sets"),
    "export": ("datasets", "Data sets"),
    "degrade": ("degrade", "Data sets"),
    "train": ("train", "Models"),
    "evaluate": ("evaluate", "Models"),
    "run": ("train", "Models"),
    "fuse": ("fuse", "Models"),
    "score": ("score", "Models"),
    "weights": ("weights", "Models"),
    "explain": ("explain", "Models"),
    "compare": ("compare", "Results"),
    "study": ("study", "Results"),
    "paper": ("paper", "Results"),
    "gate": ("gate", "Results"),
    "reproduce": ("reproduce", "Results"),
    "board": ("board", "Results"),
    "serve": ("board", "Results"),
    "migrate": ("migrate", "Results"),
    "pack": ("submit", "Submissions"),
    "check": ("submit", "Submissions"),
    "accept": ("submit", "Submissions"),
    "round": ("round", "Submissions"),
    "community": ("community", "Submissions"),
}
# of an OSError that names no file: a file that cannot be written, and no device or connection of somebody's code
_OF_FILES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT}
RUN_NETWORKS = {"quickstart", "train", "evaluate", "run", "fuse", "reproduce"}


class _HiddenError(Exception):
    """What click would take for its own: a fault in what a verb calls, which would end the command as something else.

    ``sys.exit`` with any code, a broken pipe to another process with 1, the end of a file that is too short with 130.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class LazyGroup(click.Group):
    """A click group that imports a verb's module when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"fusionbench.cli.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return with_common_options(command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            raise unknown_name("verb", args[0], VERBS, "fusionbench --help")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SystemExit, EOFError) as error:  # click's own exits are before, or are exceptions of another class
            raise _HiddenError(error) from error
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            raise _HiddenError(error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(section for _, section in VERBS.values()):
            rows = []
            for verb, (_, of) in VERBS.items():
                command = self.get_command(ctx, verb) if of == section else None
                if command is not None:
                    rows.append((verb, command.get_short_help_str(80)))
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(cls=LazyGroup, params=common_options(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fusionbench")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Deterministic data sets, exact metrics and fair comparisons for image fusion.

    Example: fusionbench quickstart
    """
    if ctx.invoked_subcommand in RUN_NETWORKS:
        keep_freed_memory()


def main(args: list[str] | None = None) -> None:
    """Entry point of the console script: runs a verb and leaves with its exit code."""
    from fusionbench.cli.own_stdout import own_stdout
    from fusionbench.core import progress

    _print_any_name()
    words = sys.argv[1:] if args is None else args
    leaving = _Leaving("--json" in words[: words.index("--")] if "--" in words else "--json" in words)
    progress.QUIET = progress.VERBOSE = False
    if "_FUSIONBENCH_COMPLETE" in os.environ:
        from fusionbench.cli.completion import use_own_shells

        use_own_shells()
    try:
        with own_stdout() as leaving.stdout:
            _run(args, leaving)
    finally:
        _drop_unread_stderr()


def _run(args: list[str] | None, leaving: _Leaving) -> None:
    """Run a verb, and leave with the exit code of what ends it before it is done."""
    from fusionbench.core import progress
    from fusionbench.core.plugin_files import plugins_of_this_command

    try:
        with one_interrupt(), plugins_of_this_command():
            cli.main(args=args, prog_name="fusionbench", standalone_mode=False)
            sys.stdout.flush()  # a full disk behind it shows here, and not when nobody can tell of it any more
    except FusionbenchError as error:
        if progress.VERBOSE:
            _print_traceback(error)
        leaving.leave(str(error), error.exit_code, error.details, type(error).__name__)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        leaving.tell(error.format_message(), 2, (), "UsageError")
        with contextlib.suppress(OSError):  # nobody reads it
            error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        leaving.leave("Interrupted; no partial files. Rerun to resume.", 130, (), "Interrupted")
    except MemoryError:
        leaving.leave("out of memory; try a smaller batch, fewer draws or --jobs 1", 3, (), "MeasurementError")
    except UnicodeEncodeError as error:
        # around what cannot be written: the whole may be a file of megabytes
        near = str(error.object)[max(0, error.start - 60) : error.end + 20]
        message = f"a name that is not UTF-8 cannot be stored: …{near}…; rename the file or folder"
        leaving.leave(message, 2, (), "DataError")
    except _HiddenError as hidden:
        leaving.fault(hidden.error)
    except Exception as error:
        if package := _unusable(error):  # a library that it needs could not be loaded
            leaving.leave(f"{package} cannot be used ({' '.join(str(error).split())}); see `fusionbench doctor`", 3)
        if isinstance(error, OSError) and (error.filename is not None or error.errno in _OF_FILES):
            where = f"{error.filename}: " if error.filename is not None else ""
            message = f"{where}{error.strerror or error}; check the path, its permissions and the free space"
            leaving.leave(message, 2, (), "DataError")
        leaving.fault(error)


def _print_traceback(error: BaseException) -> None:
    import traceback

    from fusionbench.core.text import printable

    _print_on_stderr(printable("".join(traceback.format_exception(error))), end="")


def _print_on_stderr(text: str, end: str = "\n") -> None:
    """Print it where somebody can read it; what they read decides nothing."""
    if sys.stderr is not None:  # print() would take stdout instead
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, end=end, flush=True)


def _drop_unread_stderr() -> None:
    """Forget what nobody reads: Python would try again at its end, and make the exit code 120."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stderr.fileno())


class _Leaving:
    """How a command ends that could not do what it was asked to.

    Args:
        as_json: whether its words have ``--json``: then the error is the one JSON document on stdout, where the verb
            has printed none. A verb that has, such as a report of what is wrong, said it there; the exit code tells.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.stdout: Any = None

    def tell(self, message: str, code: int, details: Sequence[str], kind: str) -> None:
        """The error as JSON, where that is wanted."""
        said = self.stdout is not None and self.stdout.used and not self.stdout.json_lines
        if not self.as_json or said:
            return
        import json

        from fusionbench.core.io import escaped

        body = {"type": kind, "exit_code": code, "message": escaped(message), "details": [*map(escaped, details)]}
        with contextlib.suppress(OSError, ValueError):  # stdout may be what failed
            print(json.dumps({"error": body}), flush=True)

    def leave(self, message: str, code: int, details: Sequence[str] = (), kind: str = "MeasurementError") -> NoReturn:
        """Say it on stderr, and as JSON on stdout where that is wanted, and leave."""
        from fusionbench.core.io import escaped

        self.tell(message, code, details, kind)
        # what could move a terminal's cursor is escaped; details have a line each
        _print_on_stderr("\n  ".join([f"fusionbench: {escaped(message)}", *map(escaped, details)]))
        sys.exit(code)

    def fault(self, error: BaseException) -> NoReturn:
        """Leave for a fault of ours or of a plugin's: never with the exit code of a regression."""
        from fusionbench.core import progress

        if isinstance(error, SystemExit):
            from fusionbench.core.crashes import who_exited

            if progress.VERBOSE:
                _print_traceback(error)
            message = f"{who_exited(error)}: a fault of a plugin, nothing was measured"
        else:
            _print_traceback(error)
            message = "this is a fault of fusionbench or of a plugin, nothing was measured"
            message += "; please report the lines above"
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            self.tell(message, 3, [reason], "InternalError")  # on stderr the traceback says it
            self.as_json = False
        self.leave(message, 3, (), "InternalError")


def _print_any_name() -> None:
    """Let stdout and stderr print whatever name a file has: as ``\\xHH`` where it is not UTF-8."""
    import codecs

    from fusionbench.core.io import utf8

    def replace(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        text = utf8(error.object[error.start : error.end])
        # a terminal that has no arrows, either
        return text.encode("ascii", "backslashreplace").decode("ascii"), error.end

    codecs.register_error("fusionbench.names", replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="fusionbench.names")


def _unusable(error: Exception) -> str:
    """The required package that is missing, that cannot be imported, or of which a part is gone; else nothing."""
    import traceback

    from fusionbench.data.package_probes import PROBES

    found = error.name or "" if isinstance(error, ImportError) else ""
    if isinstance(error, AttributeError):  # what is left of cv2 when one of two OpenCV packages is removed
        found = getattr(error.obj, "__name__", "")
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "<module>"]
    names = [found, *(frame.f_globals.get("__name__", "") for frame in frames)]
    required = {module for module, _ in PROBES.values()}
    return next((name.partition(".")[0] for name in names if name.partition(".")[0] in required), "")
