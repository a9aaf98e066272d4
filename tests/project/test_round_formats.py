"""The golden files of rounds and fingerprints, read today; :mod:`tests.project.test_formats` has the rules."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden" / "formats"


def test_round_1_and_secret_1(tmp_path: Path) -> None:
    """Oracle: the formulas of docs/rounds.md by hashlib and hmac, and the seed that the first release derived."""
    import hmac

    from fusionbench.evaluation.rounds import check_round, read_round, read_secret, seed_of_round

    (tmp_path / "secret.json").touch(0o600)
    (tmp_path / "secret.json").write_bytes((GOLDEN / "secret-1.json").read_bytes())
    found, secret = read_round(GOLDEN / "round-1.json"), read_secret(tmp_path / "secret.json")
    raw = json.loads((GOLDEN / "round-1.json").read_text())
    said = {name: raw[name] for name in ("suite", "dataset", "split", "recipe", "n", "created", "secret", "salt")}
    text = json.dumps(said | {"domain": "fusionbench.round/1 commitment"}, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == raw["commitment"] and found.public_secret == secret
    about = {"domain": "fusionbench.round/1 seed", "recipe": raw["recipe"], "split": "test", "round": raw["id"]}
    message = json.dumps(about, sort_keys=True, separators=(",", ":")).encode()
    seed = int(hmac.new(bytes.fromhex(raw["secret"]), message, hashlib.sha256).hexdigest(), 16)
    golden_seed = 59519461248573882916243969011609931753933925770862408592167281276309438856272
    assert seed_of_round(check_round(found, secret), secret) == seed == golden_seed


def test_fingerprint_1() -> None:
    import base64

    from fusionbench.submissions.fingerprints import read_fingerprint

    found = read_fingerprint(GOLDEN / "fingerprint-1.json")
    assert (found.submission, found.submitter, found.content.kind) == ("a" * 64, "A. Author", "predictions")
    # of 4 images of 8×8, with one and with two inputs: value // 2 - value, scaled so that the largest is 127
    targets = np.arange(4 * 64).reshape(4, 64)
    rest = np.repeat(targets // 2 - targets, 2, axis=0)
    near = np.frombuffer(base64.b64decode(found.content.near or ""), np.int8)
    assert np.abs(near - np.round(rest.ravel() * 127 / 128)).max() <= 1
