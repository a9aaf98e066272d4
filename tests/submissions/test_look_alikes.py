"""Titles and submitters that could be taken for others: what is refused, what is marked, what is fine."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionbench.models import MODELS
from fusionbench.results.published import shipped
from fusionbench.results.schema import Origin, Result, load
from fusionbench.submissions.look_alikes import (
    board_problems,
    claims_of,
    mixed_words,
    name_problems,
    name_remarks,
    skeleton,
)
from tests.helpers.results import saved

CYRILLIC_A, CYRILLIC_O, GREEK_O = "\u0430", "\u043e", "\u03bf"


@pytest.mark.parametrize(
    "text",
    [
        "fusionvae",
        "FUSION-VAE",
        "Fusion VAE",
        f"Fusi{CYRILLIC_O}nVAE",
        f"Fusi{GREEK_O}nVAE",
        "FuslonVAE",
        "Fusi0nVAE",
        "\uff26\uff55\uff53\uff49\uff4f\uff4e\uff36\uff21\uff25",  # full width
        "Fus\u0131onVAE",  # without a dot
        "Fusio\u0301nVAE",
    ],
)
def test_what_looks_alike(text: str) -> None:
    assert skeleton(text) == skeleton("FusionVAE")


@pytest.mark.parametrize("text", ["FusionVAE+", "FusionVAE2", "FusionGAN", "FusionVAE ours"])
def test_what_does_not(text: str) -> None:
    assert skeleton(text) != skeleton("FusionVAE")


def test_scripts_are_mixed_in_no_word() -> None:
    assert mixed_words(f"{CYRILLIC_A}verage") == [f"{CYRILLIC_A}verage"]
    for fine in (
        "\u03b2-VAE",
        "\u0410\u043d\u043d\u0430 \u041f\u0435\u0442\u0440\u043e\u0432\u0430",
        "Müller",
        "融合Net",
        "Čapek",
    ):
        assert mixed_words(fine) == [], fine


@pytest.mark.parametrize(
    "text", ["Verified net", "OFFICIAL", "0fficial", "V e r i f i e d", f"m{CYRILLIC_A}intainer", "the Maintainers"]
)
def test_claims(text: str) -> None:
    assert claims_of(text)
    for title, submitter in ((text, "Ada"), ("Net", text)):
        assert any("claims to be" in problem.rule for problem in name_problems(title, submitter, None))


@pytest.mark.parametrize("text", ["Unverified", "an unofficial net", "A b c", "maintained"])
def test_no_claims(text: str) -> None:
    assert claims_of(text) == [] and name_problems(text, "Ada", None) == []


def test_a_registered_title_is_for_weights_of_that_model() -> None:
    assert name_problems("CVAE", "Ada", "cvae") == []
    for title, model in (
        ("CVAE", "fcn"),
        ("cvae", None),
        (f"CV{chr(0x0410)}E", None),
        ("average of the sources", None),
    ):
        assert any("registered model" in problem.rule for problem in name_problems(title, "Ada", model)), title
    assert name_remarks("CVAE, our training", "cvae") == []
    assert "cvae" in name_remarks("CVAE, our training", None)[0], "marked: it is not known to be"


def test_a_published_name_is_marked_for_predictions_and_refused_for_other_weights() -> None:
    names = {skeleton(text) for name in MODELS.names() for text in (name, MODELS.said(name, "title") or name)}
    published = next(result for result in shipped() if skeleton(result.title) not in names)  # of no model of ours
    title, model = published.title, published.identity.model.name
    assert name_problems(title, "Ada", None) == [] and model in name_remarks(title, None)[0]
    assert "published numbers" in name_problems(title, "Ada", "fcn")[0].rule
    assert "the title of a registered model, these are predictions" in name_problems("CDDFuse", "Ada", None)[0].rule
    assert name_remarks("My net", None) == []


def row(tmp_path: Path, title: str, submitter: str | None) -> Result:
    made = load(saved(tmp_path, title.lower().replace(" ", "-"), {"vif": [1.0]}))
    made.title = title
    if submitter is not None:
        made.origin = Origin(kind="submission", submitter=submitter)
    return made


def test_rows_of_others_on_a_board(tmp_path: Path) -> None:
    others = [row(tmp_path, "Sharp Net", "Ada"), row(tmp_path, "mean image", None), row(tmp_path, "CVAE", None)]
    assert board_problems("Sharp Net", "Ada", None, others) == [], "one's own"
    assert "looks like that of the row Sharp Net" in board_problems("SharpNet", "Eve", None, others)[0]
    assert "of the maintainers" in board_problems("Mean-Image", "Eve", None, others)[0]
    assert board_problems("CVAE", "Eve", "cvae", others) == [], "weights of that model, shown with their submitter"
    assert "of the maintainers" in board_problems("CVAE", "Eve", "fcn", others)[0]
    assert "looks like 'Ada'" in board_problems("New", f"Ad{CYRILLIC_A}", None, others)[0]
    assert "looks like 'Ada'" in board_problems("New", "ada", None, others)[0]
    assert board_problems("New", "Eve", None, others) == []
