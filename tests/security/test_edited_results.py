"""Every field of a shipped result, edited one at a time: which edits nothing notices although they change a table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusionbench.core.errors import FusionbenchError
from fusionbench.results.comparison import compare_results
from fusionbench.results.result_set import read_results
from fusionbench.results.tables import as_data

SHIPPED = Path(__file__).parents[2] / "benchmarks" / "results"
# What no digest and no other field tells: docs/results.md says so, and that a board's index covers it.
NOT_NOTICED = {"title", "family", "status"}  # the last to less: "scored"
OTHERS = {  # values of fields that take only some
    "status": ["scored", "published"],
    "family": ["model", "classical", "trivial"],
    "kind": ["submission", "paper"],
    "better": ["higher", "lower"],
    "schema": ["fusionbench.result/1", "fusionbench.result/1.1"],
}
ADDED: list[tuple[tuple[str, ...], Any]] = [
    (("origin", "submission"), {"id": "5" * 64}),
    (("origin", "submitter"), "Eve"),
    (("declared",), {"training": {"cut": False}}),
]
Place = tuple[str | int, ...]


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value of a JSON document that is no table or list, and every empty one."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from leaves(one, (*place, key))
    if not inner and place:
        yield place, value


def edits(value: Any, name: str | int) -> list[Any]:
    """Other values of a field, of its type and plausible."""
    if str(name) in OTHERS:
        return [other for other in OTHERS[str(name)] if other != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value * 0.5 if isinstance(value, float) else 0, None]
    if isinstance(value, str):
        return [f"{value}x", f"{'0' * 63}{len(value) % 10}" if len(value) == 64 else ""]
    return ["x", 1]


def changed(record: dict[str, Any], place: Place, value: Any, remove: bool = False) -> bytes:
    copy: Any = json.loads(json.dumps(record))
    table = copy
    for key in place[:-1]:
        table = table[key]
    if remove:
        del table[place[-1]]
    else:
        table[place[-1]] = value
    return json.dumps(copy).encode()


def shown(root: Path) -> str:
    """What a comparison says of all rows: ranks, names, badges, means."""
    return json.dumps(as_data(compare_results(read_results([root]), scores=["sd", "mi"], resamples=20)), sort_keys=True)


def not_noticed(root: Path, file: Path) -> set[str]:
    """Fields of ``file`` that can be changed without that anything refuses, though a comparison then says otherwise."""
    content, before, found = file.read_bytes(), shown(root), set()
    record = json.loads(content)
    # of 18 scores one that is shown, and of the environment nothing: no table has it
    small = {"scores": {"sd"}, "provenance": {"remarks"}}
    tried = [(place, value, False) for place, old in leaves(record) for value in edits(old, place[-1])]
    tried += [(place, None, True) for place, _ in leaves(record)]
    tried += [((key,), None, True) for key in record] + [(("scores", "sd"), None, True)]
    tried += [(place, value, False) for place, value in ADDED]
    for place, value, remove in tried:
        if len(place) > 1 and place[0] in small and place[1] not in small[str(place[0])]:
            continue
        file.write_bytes(changed(record, place, value, remove))
        try:
            if len(read_results([root], strict=True)) and shown(root) != before:
                found.add(".".join(map(str, place)))
        except FusionbenchError:
            pass
    file.write_bytes(content)
    return found


def test_what_can_be_edited_without_notice(tmp_path: Path) -> None:
    files = []
    for model in ("average", "copy-b", "laplacian-pyramid"):
        for file in sorted((SHIPPED / "tno" / model).glob("*/result.json")):
            if not json.loads(file.read_text())["identity"]["protocol"]["params"]["stretch"]:
                files.append(shutil.copytree(file.parent, tmp_path / "tno" / model / file.parent.name))
    assert len(files) == 3
    assert not_noticed(tmp_path, files[0] / "result.json") == NOT_NOTICED
