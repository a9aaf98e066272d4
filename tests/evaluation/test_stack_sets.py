"""Where stacks are found by what name, and that a result names what was scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import UsageError
from fusionbench.evaluation.stack_sets import open_stacks, stored_stacks
from fusionbench.sources import is_stack_source
from tests.helpers.stacks import small_stacks
from tests.sources import folders


def test_names_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders.stacks(tmp_path / "lytro", ".", "Triple Series")
    for what, root in (("lytro", None), ("lytro", tmp_path / "lytro"), (str(tmp_path / "lytro"), None)):
        found = open_stacks(what, "focus", root=root)
        assert (found.identity.name, found.split, len(found)) == ("lytro-pairs", "pairs", 2)
    three = open_stacks("lytro", "exposure", "triples", limit=1)
    assert three.spec.views == 3 and three.names == ["lytro-01"] and three.identity.n == 1
    assert three.identity.id == open_stacks("lytro", "focus", "triples").identity.id != found.identity.id
    assert is_stack_source("mefb") and not is_stack_source("tno")
    with pytest.raises(UsageError, match="lytro"):
        open_stacks("lyttro", "focus")


def test_a_data_set_is_found_by_name_and_only_for_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_stacks("multi-exposure", tmp_path)
    found = open_stacks("multi-exposure-small", "exposure")
    arrays = found.origin.arrays("test")
    assert found.split == "test" and found.names == ["0", "1", "2"] and found.spec.views == 5
    stack = found.stack(2)
    assert np.array_equal(stack.views, arrays.views[2]) and np.array_equal(stack.truth, arrays.targets[2])
    assert stored_stacks("multi-exposure-small", "exposure") is not None
    assert stored_stacks("multi-exposure-small", "focus") is None is stored_stacks("nothing", "focus")
