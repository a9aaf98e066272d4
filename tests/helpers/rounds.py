"""Golden files of rounds and fingerprints, by their own writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_round_files(work: Path) -> dict[str, Path]:
    """A round that was revealed, its secret, and the fingerprint of made-up predictions."""
    from fusionbench.evaluation.rounds import make_round, revealed_round, write_round, write_secret
    from fusionbench.submissions.fingerprints import Content, Fingerprint, NearVector, save_fingerprint

    made, secret = make_round("quickstart", 296)
    write_round(work / "round.json", revealed_round(made, secret))
    write_secret(work / "secret.json", secret)
    targets = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
    near = NearVector(targets, 4, 2)
    for index in range(4):
        near.add(index, np.stack([(targets[index] // 2)[None]] * 3))
    content = Content(kind="predictions", exact="0" * 64, near=near.text())
    words = {"submitter": "A. Author", "title": "Mine", "dataset": "d" * 64}
    save_fingerprint(work, Fingerprint(submission="a" * 64, content=content, **words))
    names = {"round-1.json": "round.json", "secret-1.json": "secret.json", "fingerprint-1.json": "fingerprint.json"}
    return {golden_name: work / name for golden_name, name in names.items()}
