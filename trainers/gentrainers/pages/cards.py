"""Lay out the deck of cards that people judge: pairs of samples, some shown again, some whose answer is known.

The subject stands against the baseline, or against real data where there is none; both were asked for the same. A gold
card shows a real sample beside the same one torn to pieces. Everything is a function of the models and the data, the
key too: it is a fingerprint of samples that nobody is shown and of the train split. Knows the bench; must not know
files, pages or people.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gencontract.codes import Code
from gencontract.deck import Card, Deck, Media, extra
from gentrainers.errors import JobError
from gentrainers.metrics.kit.bench import Bench, Maker
from gentrainers.metrics.kit.rows import Rows, fingerprint, take
from gentrainers.pages import pictures, sounds

HIDDEN = 8  # samples that only make the key
MEDIA: dict[str, list[Media]] = {"images": ["png"], "music": ["png", "wav"], "text": ["txt"], "tabular": ["txt"]}
Draw = Callable[[Any], dict[Media, bytes]]


@dataclass(frozen=True)
class Cards:
    """A deck, and the files that it names."""

    deck: Deck
    files: dict[str, bytes]


@dataclass(frozen=True)
class _Pairs:
    """What is compared, row by row."""

    first: Rows
    second: Rows
    prompts: list[str]


def cards(bench: Bench, baseline: Maker | None, pairs: int, decode: Callable[[Any], str]) -> Cards:
    """Lay out a deck with so many pairs. Raises JobError where the split holds fewer rows."""
    key = _key(bench)
    dice = np.random.default_rng(list(bytes.fromhex(key)))
    shown, gold = _pairs(bench, baseline, pairs), _gold(bench, extra(pairs), dice)
    draw = _drawing(bench, decode)
    files: dict[str, bytes] = {}
    for at, row in enumerate((*_rows(shown), *_rows(gold))):
        for side, sample in zip("ab", row, strict=True):
            files |= {f"deck/{at:04d}{side}.{media}": data for media, data in draw(sample).items()}
    deck = Deck(key=key, modality=_modality(bench), media=MEDIA[bench.ground.modality], cards=_dealt(shown, gold, dice))
    return Cards(deck, files)


def _modality(bench: Bench) -> Any:
    return bench.ground.modality


def _key(bench: Bench) -> str:
    hidden = bench.maker.sample(HIDDEN, bench.seeds[0] + 1_000_033)
    return hashlib.sha256(f"{fingerprint(hidden)}/{fingerprint(bench.ground.train.rows)}".encode()).hexdigest()


def _pairs(bench: Bench, baseline: Maker | None, count: int) -> _Pairs:
    real, maker, seed = bench.ground.reference, bench.maker, bench.seeds[0]
    if count > len(real):
        raise JobError(
            Code.BAD_CONFIG,
            f"human.pairs: {count} is more than split {real.name} holds ({len(real)}); ask for at most {len(real)}, or "
            "choose a larger split",
        )
    index = replace(bench, n=count).reference_index(seed)
    asked = _conditions(bench, index)
    same = asked is not None and (baseline is None or baseline.told == maker.told)
    first = maker.sample_for(asked, seed) if same and asked is not None else maker.sample(count, seed)
    if baseline is None:
        second = take(real.rows, index)
    else:
        second = baseline.sample_for(asked, seed) if same and asked is not None else baseline.sample(count, seed)
    return _Pairs(first, second, [str(a) for a in asked] if same and asked is not None else [""] * count)


def _conditions(bench: Bench, index: Any) -> list[Any] | None:
    """What the real rows are called, where the subject can be told so."""
    real = bench.ground.reference
    if bench.maker.told == "caption" and real.captions is not None:
        return [str(c) for c in real.captions[index]]
    if bench.maker.told == "label" and real.classes is not None:
        return [int(c) for c in real.classes[index]]
    return None


def _gold(bench: Bench, count: int, dice: np.random.Generator) -> _Pairs:
    """Real samples, each beside itself with its parts in any order."""
    real = bench.ground.reference
    rows = take(real.rows, dice.integers(0, len(real), count))
    torn = [_torn(np.asarray(row), dice) for row in rows]
    return _Pairs(rows, torn, [""] * count)


def _torn(row: Any, dice: np.random.Generator) -> Any:
    """Shuffle the pixels of an image, or the tokens or columns of another sample."""
    if row.ndim < 2:
        return dice.permutation(row)
    flat = row.reshape(-1, row.shape[-1])
    return flat[dice.permutation(len(flat))].reshape(row.shape)


def _rows(pairs: _Pairs) -> list[tuple[Any, Any]]:
    return list(zip(pairs.first, pairs.second, strict=True))


def _dealt(shown: _Pairs, gold: _Pairs, dice: np.random.Generator) -> list[Card]:
    """Shuffle pairs, repeats and gold, so that the number of a card says nothing about it."""
    count = len(shown.prompts)
    again = dice.choice(count, extra(count), replace=False)
    faces = [("pair", i, shown.prompts[i]) for i in range(count)]
    faces += [("repeat", int(i), shown.prompts[i]) for i in again]
    faces += [("gold", count + i, "") for i in range(len(gold.prompts))]
    order = dice.permutation(len(faces))
    at = {int(face): number for number, face in enumerate(order)}
    return [_card(faces[face], at) for face in order]


def _card(face: tuple[Any, int, str], at: dict[int, int]) -> Card:
    kind, row, prompt = face
    of = at[row] if kind == "repeat" else None
    return Card(kind=kind, of=of, prompt=prompt, first=f"deck/{row:04d}a", second=f"deck/{row:04d}b")


def _drawing(bench: Bench, decode: Callable[[Any], str]) -> Draw:
    """How one sample is shown."""
    grammar = bench.ground.body.get("tokens", {})
    kinds: dict[str, Draw] = {
        "images": lambda row: {"png": pictures.png(pictures.enlarged(np.asarray(row)))},
        "music": lambda row: {
            "png": pictures.png(pictures.piano_rolls([row], grammar)),
            "wav": sounds.wav(np.asarray(row), grammar),
        },
        "text": lambda row: {"txt": decode(row).encode()},
        "tabular": lambda row: {"txt": "\n".join(f"{v:.4g}" for v in np.asarray(row).tolist()).encode()},
    }
    return kinds[bench.ground.modality]
