"""The command line: what the console script and ``python -m fusionbench`` start."""

import atexit
import gc
import sys


def main() -> None:
    """Run :func:`fusionbench.cli.main`; Ctrl-C during its import is one line, too."""
    atexit.register(gc.freeze)  # the process ends: looking for garbage in all of torch takes a third of a second
    try:
        from fusionbench.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("fusionbench: Interrupted.\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
