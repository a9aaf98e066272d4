"""Published files that fit, and each way in which one does not. Equality is exact."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fusionbench.core.errors import DataError
from fusionbench.models.pairs.didfuse import DIDFuse
from fusionbench.models.pairs.published_state import flat_state, published_state
from fusionbench.models.pairs.tardal import TarDAL
from tests.helpers.pairs import SPEC

TINY = {"width": 3, "critic_widths": [4]}
PARAMS = {"width": 3}
PARTS = ({"encoder": "enc"}, {"decoder": "inner.dec"})


def files() -> list[dict[str, Tensor]]:
    torch.manual_seed(5)
    state = DIDFuse(SPEC, **PARAMS).state_dict()
    encoder = {f"enc.{key.removeprefix('encoder.')}": value for key, value in state.items() if key.startswith("enc")}
    decoder = {f"inner.dec.{key.removeprefix('decoder.')}": v for key, v in state.items() if key.startswith("dec")}
    return [encoder, decoder]


def test_names_are_joined_and_other_values_left_out() -> None:
    one, two = torch.zeros(1), torch.ones(2)
    flat = flat_state({"net": {"a": {"w": one}, "epoch": 3}, "b": two, "note": "x"})
    assert list(flat) == ["net.a.w", "b"] and flat["net.a.w"] is one and flat["b"] is two


def test_every_tensor_comes_from_its_file() -> None:
    made = published_state(DIDFuse, PARAMS, files(), PARTS)
    encoder, decoder = files()
    assert set(made) == {key.replace("inner.dec", "decoder").replace("enc.", "encoder.") for key in encoder | decoder}
    for key, value in made.items():
        source = encoder if key.startswith("encoder") else decoder
        assert torch.equal(value, source[key.replace("encoder", "enc").replace("decoder", "inner.dec")]), key


def test_nested_files_and_half_precision_are_taken() -> None:
    encoder, decoder = files()
    nested = {"inner": {"dec": {key.removeprefix("inner.dec."): value for key, value in decoder.items()}}}
    half = {key: value.half() if value.is_floating_point() else value for key, value in encoder.items()}
    made = published_state(DIDFuse, PARAMS, [half, nested], PARTS)
    assert torch.equal(made["decoder.join.1.weight"], decoder["inner.dec.join.1.weight"])
    assert made["encoder.first.1.weight"].dtype == torch.float32


def test_what_nobody_published_is_drawn_from_a_seed_and_leaves_no_trace() -> None:
    torch.manual_seed(0)
    published = {
        key.removeprefix("generator."): value
        for key, value in TarDAL(SPEC, **TINY).state_dict().items()
        if key.startswith("generator.")
    }
    parts = ({f"generator.{part}": part for part in ("encoder", "dense", "merge")},)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    made = published_state(TarDAL, TINY, [published], parts, ours_alone=("critics.",))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = published_state(TarDAL, TINY, [published], parts, ours_alone=("critics.",))
    assert all(torch.equal(value, again[key]) for key, value in made.items())
    assert made["critics.target.score.weight"].abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e, d: [e], "the published weights are 2 file.s., not 1"),
        (lambda e, d: [d, e], r"not the published weights of DIDFuse: file 1, 'enc\..*' is missing"),
        (
            lambda e, d: [e, {k: v for k, v in d.items() if "join.1.bias" not in k}],
            "file 2, 'inner.dec.join.1.bias' is missing",
        ),
        (lambda e, d: [e | {"more": torch.zeros(1)}, d], "file 1, 1 names are unknown, first 'more'"),
        (
            lambda e, d: [e | {"enc.base.1.bias": torch.zeros(4)}, d],
            r"'enc.base.1.bias' has the shape \(4,\) instead of \(3,\)",
        ),
        (lambda e, d: [e | {"enc.base.1.bias": torch.full((3,), torch.nan)}, d], "'enc.base.1.bias' .* not finite"),
    ],
)
def test_other_files_are_refused_with_the_tensor(change, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=reason):
        published_state(DIDFuse, PARAMS, change(*files()), PARTS)


def test_counters_that_a_file_lacks_are_zero() -> None:
    encoder, decoder = files()
    counted = {key: value + 7 if "tracked" in key else value for key, value in decoder.items()}
    old = {key: value for key, value in encoder.items() if "tracked" not in key}
    made = published_state(DIDFuse, PARAMS, [old, counted], PARTS)
    counters = {key: int(value) for key, value in made.items() if "tracked" in key}
    assert {value for key, value in counters.items() if key.startswith("encoder")} == {0}
    assert {value for key, value in counters.items() if key.startswith("decoder")} == {7}


def test_names_of_a_file_are_cut_in_messages() -> None:
    encoder, decoder = files()
    with pytest.raises(DataError, match=r"first 'x{100}'$"):
        published_state(DIDFuse, PARAMS, [encoder | {"x" * 5000: torch.zeros(1)}, decoder], PARTS)


def test_a_part_without_a_name_in_the_file_is_refused() -> None:
    with pytest.raises(DataError, match="no published tensor for 'decoder"):
        published_state(DIDFuse, PARAMS, files()[:1], PARTS[:1])


def test_index_tables_are_passed_over_where_the_network_says_so() -> None:
    encoder, decoder = files()
    with_table = [encoder | {"enc.index": torch.zeros(1)}, decoder]
    published_state(DIDFuse, PARAMS, with_table, PARTS, not_needed=("index",))
    with pytest.raises(DataError, match=r"'enc\.index'"):
        published_state(DIDFuse, PARAMS, with_table, PARTS)
