"""What a served model counts of its requests: bounded bins, the same as the reference's, and never a payload."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gentrainers.data import reference
from gentrainers.data.formats.images import measure as measured_by_data
from gentrainers.serving.backend.features import CLASSES, Classes, Numeric, images, measure, watched

LABEL = {"name": "label", "draw": "label", "high": 10}
PROMPT = {"name": "prompt", "draw": "prompt", "high": 6}
CAPTION = {"name": "caption", "draw": "caption", "high": 0}
NOISE = {"name": "noise", "draw": "normal", "high": 0}


def spec(*inputs: Any, format: str = "images", known: Any = None) -> dict[str, Any]:
    return {"inputs": [NOISE, *inputs], "sample": {"format": format}, "reference": known}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.lists(st.floats(-1e6, 1e6), max_size=50))
def test_a_served_number_falls_into_the_bin_that_its_reference_would(known: list[float], live: list[float]) -> None:
    edges = reference.numeric(np.array(known))["edges"]
    counted = Numeric(np.array(edges)).count(np.array(live, np.float64)).tolist()
    assert counted == reference.count(edges, np.array(live, np.float64))


def test_pictures_are_measured_as_the_data_was() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
    found = images(rows)
    for i, row in enumerate(rows):
        assert {name: values[i] for name, values in found.items()} == pytest.approx(measured_by_data(row))


def test_a_class_that_is_asked_for_is_an_input_and_one_left_out_is_none() -> None:
    samples = np.zeros((2, 4, 4, 1), np.uint8)
    asked = measure(spec(LABEL), samples, {"label": np.array([[3], [3]])})
    assert asked["input", "label"][0] == 2
    assert watched(spec(LABEL))["input", "label"].count(asked["input", "label"][1]).tolist() == [0, 0, 0, 2, *[0] * 7]
    assert ("input", "label") not in measure(spec(LABEL), samples, {"label": None})


def test_a_sequence_counts_to_its_end_and_a_prompt_where_it_is_given() -> None:
    tokens = np.array([[2, 3, 0, 5, 5], [4, 4, 6, 1, 1]])  # 0 ends, 6 starts the next
    prompt = np.array([[2, -1, -1], [4, 4, -1]])
    found = measure(spec(PROMPT, format="text"), tokens, {"prompt": prompt})
    assert found["output", "token"][1].tolist() == [2, 3, 0, 4, 4]
    assert found["prompt", "token"][1].tolist() == [2, 4, 4]
    assert found["prompt", "length"][1].tolist() == [1, 2]


def test_a_caption_is_its_length_and_nothing_else() -> None:
    texts = np.array([["a cat"], ["ü"]], dtype=object)
    found = measure(spec(CAPTION), np.zeros((2, 4, 4, 1), np.uint8), {"caption": texts})
    assert {key for key in found if key[0] == "prompt"} == {("prompt", "length")}
    assert found["prompt", "length"][1].tolist() == [5, 2]


def test_classes_are_bounded_the_commonest_kept_and_the_rest_one_bin() -> None:
    values = [str(i) for i in range(200)]
    known = {"samples": 9, "token": {"values": [*values, "other"], "counts": [*range(200), 50]}}
    feature = watched(spec(PROMPT, format="text", known=known))["output", "token"]
    assert isinstance(feature, Classes)
    assert feature.bins == [*values[-CLASSES:], "other"]
    assert sum(feature.counts) == sum(range(200)) + 50
    assert feature.count(np.array([199, 199, 0, 7777]))[[-2, -1]].tolist() == [2, 2]


def test_every_feature_is_counted_in_as_many_bins_as_it_names() -> None:
    known = {"samples": 4, "label": {"values": ["0", "1"], "counts": [1, 3]}}
    for kind in (spec(LABEL, CAPTION, known=known), spec(PROMPT, format="music"), spec(format="tabular")):
        for feature in watched(kind).values():
            assert len(feature.count(np.array([0, 1]))) == len(feature.bins) <= CLASSES + 1
            assert len(feature.counts) in (0, len(feature.bins))


def test_a_row_of_a_table_is_not_measured() -> None:
    assert watched(spec(format="tabular")) == {}
    assert measure(spec(format="tabular"), np.zeros((3, 5), np.float32), {}) == {}
