"""Noise is a function of the seed alone: the same in any batch, process and numpy version."""

import hashlib
from typing import Any

import numpy as np
import pytest

from gentrainers.serving.backend import noise
from gentrainers.serving.backend.engine import Engine, finish, fitting

NORMAL: dict[str, Any] = {"name": "noise", "dtype": "float32", "shape": [-1, 2, 3], "draw": "normal", "high": 0}
LABEL: dict[str, Any] = {"name": "label", "dtype": "int64", "shape": [-1], "draw": "label", "high": 10}
PROMPT: dict[str, Any] = {"name": "prompt", "dtype": "int64", "shape": [-1, 4], "draw": "prompt", "high": 9}
CAPTION: dict[str, Any] = {"name": "caption", "dtype": "int64", "shape": [-1, 6], "draw": "caption", "high": 256}


def test_a_sample_has_the_same_noise_in_any_batch() -> None:
    together = noise.draw(NORMAL, [5, 6, 7], None, 0, ())
    alone = noise.draw(NORMAL, [6], None, 0, ())
    np.testing.assert_array_equal(together[1:2], alone)
    assert not np.array_equal(together[0], together[1])


def test_noise_is_pinned_bit_for_bit() -> None:
    """The same digest under numpy 1.26 in the server and numpy 2 in training; a change would change every golden."""
    drawn = noise.draw({**NORMAL, "shape": [-1, 64, 64]}, [0, 1, -1, 2**63 - 1], None, 0, ())
    assert drawn.dtype == np.float32
    assert hashlib.sha256(drawn.tobytes()).hexdigest().startswith("febe23599b36bab696acd002f716debe")


def test_inputs_have_streams_of_their_own() -> None:
    assert not np.array_equal(noise.draw(NORMAL, [1], None, 0, ()), noise.draw(NORMAL, [1], None, 1, ()))


def test_noise_is_standard() -> None:
    drawn = noise.draw({**NORMAL, "shape": [-1, 100]}, range(200), None, 0, ())
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02


def test_labels_that_are_not_given_follow_the_shares() -> None:
    shares = [0.7, 0.3, *[0.0] * 8]
    counts = np.bincount(noise.draw(LABEL, range(2000), None, 0, shares), minlength=10) / 2000
    np.testing.assert_allclose(counts, shares, atol=0.04)


@pytest.mark.parametrize("label", [-1, 10, 2**40])
def test_a_class_that_does_not_exist_is_named(label: int) -> None:
    with pytest.raises(noise.WrongInput, match=rf"'label': {label} is not in 0\.\.9"):
        noise.draw(LABEL, [0], np.array([[label]]), 0, ())


def test_prompts_are_filled_up_and_bounded() -> None:
    np.testing.assert_array_equal(noise.draw(PROMPT, [0], np.array([[3, 8]]), 0, ()), [[3, 8, -1, -1]])
    np.testing.assert_array_equal(noise.draw(PROMPT, [0], None, 0, ()), [[-1] * 4])
    with pytest.raises(noise.WrongInput, match="5 tokens"):
        noise.draw(PROMPT, [0], np.zeros((1, 5)), 0, ())
    with pytest.raises(noise.WrongInput, match="9 is not"):
        noise.draw(PROMPT, [0], np.array([[9]]), 0, ())


def test_captions_become_bytes() -> None:
    np.testing.assert_array_equal(
        noise.draw(CAPTION, [0, 1], np.array([[b"ab"], ["é"]], dtype=object), 0, ()),
        [[97, 98, 0, 0, 0, 0], [0xC3, 0xA9, 0, 0, 0, 0]],
    )


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (2, 4), (4, 4), (5, 4), (9, 4)])
def test_pinned_batches_are_cut_and_filled_up(rows: int, size: int) -> None:
    assert fitting(rows, [1, 4]) == size
    seen: list[int] = []

    def run(inputs: list[Any]) -> list[Any]:
        seen.append(len(inputs[0]))
        return [inputs[0] * 2]

    x = np.arange(rows, dtype=np.float32)
    np.testing.assert_array_equal(Engine({"batches": [1, 4]}, run).raw([x])[0], x * 2)
    assert set(seen) == {size}


def test_pixels_are_made_as_in_training() -> None:
    """The same rounding as DataShape.decode, down to the levels of the data."""
    import torch

    from gentrainers.families import DataShape

    x = np.random.default_rng(0).uniform(-0.2, 1.2, (3, 2, 4, 4)).astype(np.float32)
    for levels in (1, 16, 255):
        shape = DataShape(format="images", height=4, width=4, channels=2, levels=levels)
        got = finish({"format": "images", "levels": levels}, x)
        np.testing.assert_array_equal(got, shape.decode(torch.from_numpy(x)))
