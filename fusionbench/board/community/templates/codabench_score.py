"""Scores what a participant uploaded, with the fusionbench of the image. Called as metadata.yaml says."""

import sys
from pathlib import Path

from fusionbench.cli import main

suite = Path(__file__).resolve().parent / "suite.toml"
main(["community", "codabench-score", *sys.argv[1:3], "--suite", str(suite)])
