"""Which object people mean: kinds by any of their names, `kind/name` or two words, or a name that only one object has.

Knows what kinds are called. It must not know what they are for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from gencontract.layout import GROUP
from genops.cli.story.errors import Misnamed, Nothing
from genops.core.kinds import OURS, Kind
from genops.core.model import Key
from genops.stages.definitions import DEFINITIONS

SHORT = {d.kind: d.short_names[0] for d in DEFINITIONS}
_KINDS = {kind.kind: kind for kind in OURS}
_WORDS = {
    word: _KINDS[d.kind] for d in DEFINITIONS for word in (d.singular, d.plural, f"{d.plural}.{GROUP}", *d.short_names)
}


@dataclass(frozen=True)
class Named:
    """What was asked for. Without a kind, the name alone has to do."""

    kind: Kind | None
    name: str


def short(key: Key) -> str:
    """Name an object as kubectl takes it, briefly.

    >>> from genops.core.kinds import GEN_DATASET
    >>> short(Key(GEN_DATASET, "team", "digits"))
    'gds/digits'
    """
    return f"{SHORT.get(key.kind.kind, key.kind.kind.lower())}/{key.name}"


def kind_of(word: str) -> Kind:
    """Find a kind by its name, plural or short name, in any case. Raises Misnamed.

    >>> str(kind_of("GTJ")), str(kind_of("gendatasets.genops.dev"))
    ('GenTrainingJob', 'GenDataset')
    """
    found = _WORDS.get(word.lower())
    if found:
        return found
    near = get_close_matches(word.lower(), _WORDS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    known = ", ".join(f"{d.singular} ({d.short_names[0]})" for d in DEFINITIONS)
    raise Misnamed(f"KIND {word!r} is not one of {known}{hint}")


def parse(words: Sequence[str]) -> Named:
    """Read `KIND NAME`, `KIND/NAME` or `NAME`. Raises Misnamed.

    >>> parse(["gds", "digits"]) == parse(["GenDataset/digits"])
    True
    """
    if len(words) == 2 and "/" not in words[0] + words[1]:
        return Named(kind_of(words[0]), words[1])
    if len(words) == 1 and words[0].count("/") == 1:
        kind, name = words[0].split("/")
        if name:
            return Named(kind_of(kind), name)
    if len(words) == 1 and words[0] and "/" not in words[0]:
        return Named(None, words[0])
    raise Misnamed(f"{' '.join(words)!r} names no object; write KIND NAME or KIND/NAME, such as gds digits")


def choose(named: Named, known: Iterable[Key]) -> Key:
    """Find the one object that was meant among those there are. Raises Misnamed, or Nothing where there is none.

    A name alone that a GenModel has stands for it, since the objects it made are told with it.
    """
    keys = sorted(known)
    found = [k for k in keys if k.name == named.name and named.kind in (None, k.kind)]
    if len(found) == 1:
        return found[0]
    models = [k for k in found if k.kind.kind == "GenModel"]
    if models:
        return models[0]
    if found:
        raise Misnamed(f"NAME {named.name!r} fits {', '.join(map(short, found))}; write one of these")
    raise Nothing(_missing(named, keys))


def _missing(named: Named, keys: Sequence[Key]) -> str:
    what = f"{named.kind}/{named.name}" if named.kind else f"An object named {named.name!r}"
    there = [k for k in keys if named.kind in (None, k.kind)]
    near = get_close_matches(named.name, [k.name for k in there], n=1)
    meant = next((short(k) for k in there if near and k.name == near[0]), "")
    hint = f"; did you mean {meant}?" if meant else "; see kubectl get genops, or name another namespace with -n"
    return f"{what} does not exist in this namespace{hint}"
