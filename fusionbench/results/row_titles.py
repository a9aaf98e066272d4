"""What tells rows apart whose titles are the same: variants of one method, of which a table would show one name only.

Example:
    >>> from fusionbench.results.row_titles import first_differences
    >>> made = [{"w": 0.2, "preset": "small"}, {"w": 0.7, "preset": "small"}]
    >>> first_differences(made, ["#1", "#2"])
    ['w=0.2', 'w=0.7']
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import msgspec

from fusionbench.core.text import one_line
from fusionbench.results.schema import Result

MOST_PARAMETERS = 3  # that are shown whether or not one alone tells the rows apart; of more a preset says it shorter
_LONG = 40  # characters of a value
_ABSENT = object()


def first_differences(facts: Sequence[Mapping[str, Any]], names: Sequence[str], always: int = 0) -> list[str]:
    """For each row the first facts that tell all rows apart, as ``key=value``; else, or as well, its name.

    Args:
        facts: for each row key -> value, in the order in which they are tried. A row may lack a key.
        names: unique texts, for rows that no fact tells from another.
        always: how many of the first keys are shown wherever rows differ in them.

    Example:
        >>> from fusionbench.results.row_titles import first_differences
        >>> first_differences([{}, {"w": 0.7, "k": 3}, {"w": 0.7, "k": 4}], ["#1", "#2", "#3"])
        ['', 'w=0.7 k=3', 'w=0.7 k=4']
        >>> first_differences([{"w": 1}, {"w": 1}], ["#1", "#2"])
        ['#1', '#2']
    """
    texts = [""] * len(facts)
    keys = dict.fromkeys(key for one in facts for key in one)
    for place, key in enumerate(keys):
        if len({_value(one.get(key, _ABSENT)) for one in facts}) == 1:
            continue
        more = [f"{text} {_fact(key, one.get(key, _ABSENT))}".strip() for text, one in zip(texts, facts, strict=True)]
        if place < always or len(set(more)) > len(set(texts)):
            texts = more
    count = Counter(texts)
    return [f"{text} {name}".strip() if count[text] > 1 else text for text, name in zip(texts, names, strict=True)]


def variants(results: Sequence[Result], titles: Sequence[Hashable]) -> list[str]:
    """What is to stand behind the title of each row; "" where no other row has the same.

    First parameters of the model that differ, by name, else the preset, else how it was trained, else the start
    of the id.

    Args:
        results: the first result of each row.
        titles: what a reader sees of the row, its title and who submitted it.

    Example:
        >>> from fusionbench import create_model
        >>> from fusionbench.core.types import ImageSpec
        >>> from fusionbench.evaluation.pair_sets import open_pairs
        >>> from fusionbench.evaluation.pairs import evaluate_pairs
        >>> from fusionbench.results.row_titles import variants
        >>> pairs = open_pairs("pairs-demo", "all", None, limit=1)
        >>> model = create_model("copy-a", ImageSpec(channels=1, height=256, width=256, views=2))
        >>> made = [evaluate_pairs(model, pairs, out=None, device="cpu") for _ in range(3)]
        >>> made[1].identity.model.params = {"w": 0.7}
        >>> made[2].identity.model.params = {"w": 2}
        >>> variants(made, ["copy", "copy", "copy"]), variants(made[1:], ["copy", "other"])
        (['', 'w=0.7', 'w=2'], ['', ''])
    """
    alike: dict[Hashable, list[int]] = {}
    for place, title in enumerate(titles):
        alike.setdefault(title, []).append(place)
    found = [""] * len(results)
    for places in alike.values():
        if len(places) > 1:
            group = [results[place] for place in places]
            for place, text in zip(places, _of_group(group), strict=True):
                found[place] = text
    return found


def _of_group(group: Sequence[Result]) -> list[str]:
    params = [{k: v for k, v in one.identity.model.params.items() if k != "predictions_sha256"} for one in group]
    names = sorted({key for one in params for key in one})
    differ = [key for key in names if len({_value(one.get(key, _ABSENT)) for one in params}) > 1]
    few = len(differ) <= MOST_PARAMETERS
    facts = []
    for one, mine in zip(group, params, strict=True):
        of_model = {key: mine.get(key, _ABSENT) for key in differ}
        training = {} if one.identity.training is None else msgspec.to_builtins(one.identity.training)
        preset = {"preset": training.get("preset")}
        how = {
            "data": (training.get("dataset_id") or "")[:8] or None,
            "steps": training.get("steps"),
            "planned": training.get("planned_steps"),
            "seed": training.get("seed"),
            **{key: value for key, value in training.get("params", {}).items() if key not in names},
            "version": one.identity.model.version,
        }
        facts.append({**of_model, **preset, **how} if few else {**preset, **of_model, **how})
    return first_differences(facts, [one.id[:8] for one in group], always=len(differ) if few else 0)


def _value(value: Any) -> str:
    """A value as ``--set`` takes it, cut where it is long; what a row lacks is nothing."""
    if value is _ABSENT or value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    text = one_line(text)
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def _fact(key: str, value: Any) -> str:
    text = _value(value)
    return f"{one_line(key)[:_LONG]}={text}" if text else ""
