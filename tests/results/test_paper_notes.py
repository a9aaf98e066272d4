"""Notes below a table: one letter for what is said twice, and where times were measured."""

from __future__ import annotations

from pathlib import Path

from fusionbench.results.comparison import read_entries
from fusionbench.results.paper_columns import choose_columns
from fusionbench.results.paper_notes import Notes, cost_note, machine_of
from fusionbench.results.schema import load, save
from tests.helpers.results import made_up


def test_letters() -> None:
    notes = Notes()
    assert [notes.mark(text) for text in ("x", "y", "x")] == ["a", "b", "a"]
    notes.add("about\nall")
    assert notes.lines == [("", "about all"), ("a", "x"), ("b", "y")]
    marks = [notes.mark(f"{number}") for number in range(26)]
    assert marks[-3:] == ["z", "aa", "ab"]


def test_times_of_several_machines_are_said_to_be_so(tmp_path: Path) -> None:
    for name, cpu in (("one", "CPU A"), ("two", "CPU A"), ("three", "CPU B\x1b[31m")):
        result = load(made_up(tmp_path, name))
        result.cost["ms_per_image"] = 3.0
        result.provenance = {"environment": {"cpu": cpu}, "host": "edited"}
        save(result, tmp_path)
    entries = read_entries(tmp_path)
    score, time, params = choose_columns(["mse_min", "time", "params"], entries)
    assert cost_note(score, entries) == cost_note(params, entries) == ""
    note = cost_note(time, entries)
    assert "different machines (CPU A, CPU B\\u001b[31m)" in note and "do not compare" in note
    alike = [entry for entry in entries if entry.title != "THREE"]
    assert cost_note(time, alike) == "Per image, on CPU A"
    entries[0].results[0].provenance = {}
    assert machine_of(entries[0].results[0]) == "a machine that is not recorded"
