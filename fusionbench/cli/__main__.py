"""``python -m fusionbench.cli``: what torchrun starts."""

from fusionbench.cli import main

if __name__ == "__main__":
    main()
