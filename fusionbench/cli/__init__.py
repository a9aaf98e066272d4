"""The command line: one file per group of verbs, loaded on use so that ``--help`` is instant.

stdout is data, stderr is talk. Exit codes: 0 fine, 1 regression or rejection, 2 usage,
3 could not measure, 4 not comparable; 130 after Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from fusionbench import __version__
from fusionbench.errors import FusionbenchError, unknown_name

# verb -> (module, section of --help); the command object is the module's attribute of the verb's name
VERBS: dict[str, tuple[str, str]] = {
    "quickstart": ("quickstart", "Start here"),
    "doctor": ("doctor", "Start here"),
    "list": ("catalogue", "Start here"),
    "describe": ("catalogue", "Start here"),
    "generate": ("generate", "Data sets"),
    "verify": ("verify", "Data sets"),
    "preview": ("preview", "Data sets"),
    "plan": ("datasets", "Data sets"),
    "status": ("datasets", "Data sets"),
    "sample": ("datasets", "Data sets"),
    "diff": ("datasets", "Data sets"),
    "recipe": ("datasets", "Data sets"),
    "export": ("datasets", "Data sets"),
    "train": ("train", "Models"),
    "evaluate": ("train", "Models"),
    "run": ("train", "Models"),
    "score": ("score", "Models"),
    "explain": ("explain", "Models"),
    "compare": ("compare", "Results"),
    "gate": ("gate", "Results"),
    "board": ("board", "Results"),
    "serve": ("board", "Results"),
    "pack": ("submit", "Submissions"),
    "check": ("submit", "Submissions"),
    "accept": ("submit", "Submissions"),
}


class LazyGroup(click.Group):
    """A click group that imports a verb's module when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"fusionbench.cli.{VERBS[cmd_name][0]}")
        return getattr(module, f"{cmd_name}_command")

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            raise unknown_name("verb", args[0], VERBS, "fusionbench --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(section for _, section in VERBS.values()):
            rows = []
            for verb, (_, of) in VERBS.items():
                command = self.get_command(ctx, verb) if of == section else None
                if command is not None:
                    rows.append((verb, command.get_short_help_str(80)))
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fusionbench")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no talk on stderr; errors still show.")
def cli(quiet: bool) -> None:
    """Deterministic data sets, exact metrics and fair comparisons for image fusion.

    Example: fusionbench quickstart
    """
    from fusionbench import progress

    progress.QUIET = quiet


def main(args: list[str] | None = None) -> None:
    """Entry point of the console script: runs a verb and leaves with its exit code."""
    try:
        cli.main(args=args, prog_name="fusionbench", standalone_mode=False)
    except FusionbenchError as error:
        print(f"fusionbench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        print("fusionbench: stopped; nothing half-made was left, the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except MemoryError:
        print("fusionbench: out of memory; try a smaller batch, fewer draws or --jobs 1", file=sys.stderr)
        sys.exit(3)
    except Exception as error:
        package = _unusable(error)
        if not package:  # ours to mend, and the traceback says where
            raise
        text = " ".join(str(error).split())
        print(f"fusionbench: {package} cannot be used ({text}); see `fusionbench doctor`", file=sys.stderr)
        sys.exit(3)


def _unusable(error: Exception) -> str:
    """The required package that is missing, that cannot be imported, or of which a part is gone; else nothing."""
    import traceback

    from fusionbench.package_probes import PROBES

    found = error.name or "" if isinstance(error, ImportError) else ""
    if isinstance(error, AttributeError):  # what is left of cv2 when one of two OpenCV packages is removed
        found = getattr(error.obj, "__name__", "")
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "<module>"]
    names = [found, *(frame.f_globals.get("__name__", "") for frame in frames)]
    required = {module for module, _ in PROBES.values()}
    return next((name.partition(".")[0] for name in names if name.partition(".")[0] in required), "")
