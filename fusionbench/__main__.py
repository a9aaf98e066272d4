"""``python -m fusionbench``: the command line, for environments without the console script on the path."""

from fusionbench.cli import main

if __name__ == "__main__":
    main()
