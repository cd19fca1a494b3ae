"""Where what is served came from: data, weights, verdict and engine by digest, and whether they belong together.

A hop says what an object made, and by the digests that both sides recorded whether it took what the hop before made.
Pure: a world in, lines of descent out.
"""

from dataclasses import dataclass, replace
from typing import Any

from genops.cli.story.causes import name_of
from genops.cli.story.standing import standing, verdict_of
from genops.cli.story.world import World, run_of
from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB
from genops.core.model import Key, Manifest

NOT_YET = "nothing yet"


@dataclass(frozen=True)
class Hop:
    """One link: who made what, out of what."""

    who: str  # GenTrainingJob/digits, or the address of what is no object of ours
    what: str  # data, weights, report, engine
    digest: str = ""  # of what was made
    took: str = ""  # digest of what it was made of
    agrees: bool | None = None  # whether it took what the hop before made; None where that is not known
    note: str = ""
    below: tuple["Hop", ...] = ()


@dataclass(frozen=True)
class Line:
    """One line of descent, under the run it belongs to where a GenModel asked for it."""

    root: Hop
    title: str = ""


def descend(key: Key, world: World) -> list[Line]:
    """Find the lines that an object stands in; every run's for a GenModel."""
    if key.kind == GEN_MODEL:
        return [_of_run(run, key, world) for run in world.status(key).get("runs") or ()]
    if key.kind == GEN_DATASET:
        made = [k for k in world.keys(GEN_TRAINING_JOB) if _data_key(k, world) == key]
        return [Line(_data_of(run, world)) for run in made] or [Line(_data(key, world))]
    run = _run_behind(key, world)
    if run:
        return [Line(_data_of(run, world))]
    return [Line(_weights_elsewhere(key, world))]


def as_json(line: Line) -> dict[str, Any]:
    """Tell a line to programs."""
    return {**({"title": line.title} if line.title else {}), **_hop_json(line.root)}


def agreement(hop: Hop) -> str:
    """Say whether a hop took what the one before made."""
    return {True: "✓", False: "✗", None: " "}[hop.agrees]


def brief(digest: str) -> str:
    """Shorten a digest for people.

    >>> brief("sha256:" + "a" * 64)
    'sha256:aaaaaaaaaaaa'
    """
    return digest[: len("sha256:") + 12]


def _hop_json(hop: Hop) -> dict[str, Any]:
    return {
        "who": hop.who,
        "what": hop.what,
        "digest": hop.digest or None,
        "took": hop.took or None,
        "agrees": hop.agrees,
        "note": hop.note,
        "then": [_hop_json(h) for h in hop.below],
    }


# --- from objects ----------------------------------------------------------------------------------------------------


def _data_of(run: Key, world: World) -> Hop:
    """The line of a run, from the data it was trained on."""
    took = (world.status(run).get("inputs") or {}).get("datasetDigest", "")
    key = _data_key(run, world)
    if key is None:
        data = Hop(str(world.spec(run).get("datasetUri") or "Data"), "data", took)
        return replace(data, below=(_weights(run, world, None),))
    data = _data(key, world)
    return replace(data, below=(_weights(run, world, _same(took, data.digest)),))


def _data(key: Key, world: World) -> Hop:
    status = world.status(key)
    if world.get(key) is None:
        return Hop(name_of(key), "data", note="does not exist any more")
    known = {"samples": status.get("samples"), "revision": status.get("revision")}
    note = ", ".join(f"{v} samples" if k == "samples" else f"{k} {v}" for k, v in known.items() if v)
    return Hop(name_of(key), "data", str(status.get("digest") or ""), note=note or NOT_YET)


def _weights(run: Key, world: World, agrees: bool | None) -> Hop:
    status, spec = world.status(run), world.spec(run)
    inputs = status.get("inputs") or {}
    digest, took = str((status.get("output") or {}).get("digest") or ""), str(inputs.get("datasetDigest") or "")
    parts = [f"{spec.get('family', '')} {spec.get('size', '')}".strip()]
    parts += [f"from {brief(inputs['baseDigest'])}"] if inputs.get("baseDigest") else []
    parts += [f"code {inputs['codeVersion']}"] if inputs.get("codeVersion") else []
    parts += [] if digest else [standing(run, world.get(run)).phase]
    if agrees is False:
        parts.append(f"took {brief(took)}")
    below = (*_reports(run, digest, world), *_engines(run, digest, world))
    return Hop(name_of(run), "weights", digest, took, agrees, ", ".join(p for p in parts if p), below)


def _weights_elsewhere(key: Key, world: World) -> Hop:
    """Weights that no run here made, by their address or digest."""
    if key.kind == GEN_EVALUATION:
        digest = str((world.status(key).get("inputs") or {}).get("subjectDigest") or "")
        subject = world.spec(key).get("subject") or {}
        return Hop(str(subject.get("uri") or "Weights"), "weights", digest, below=(_report(key, digest, world),))
    digest = str((world.status(key).get("stable") or {}).get("digest") or "")
    model = world.spec(key).get("model") or {}
    return Hop(str(model.get("uri") or "Weights"), "weights", digest, below=(_engine(key, digest, world),))


def _reports(run: Key, digest: str, world: World) -> list[Hop]:
    found = [
        k
        for k in world.keys(GEN_EVALUATION)
        if _names_run(world.spec(k).get("subject"), run) or _judged(k, digest, world)
    ]
    return [_report(k, digest, world) for k in found]


def _report(key: Key, weights: str, world: World) -> Hop:
    status = world.status(key)
    took = str((status.get("inputs") or {}).get("subjectDigest") or "")
    agrees = _same(took, weights)
    verdict = verdict_of(world.get(key)) or standing(key, world.get(key)).phase
    note = f"{verdict}, judged {brief(took)}" if agrees is False else verdict
    return Hop(name_of(key), "report", str((status.get("report") or {}).get("digest") or ""), took, agrees, note)


def _engines(run: Key, digest: str, world: World) -> list[Hop]:
    found = [
        k
        for k in world.keys(GEN_DEPLOYMENT)
        if _names_run(world.spec(k).get("model"), run) or _serves(k, digest, world)
    ]
    return [_engine(k, digest, world) for k in found]


def _engine(key: Key, weights: str, world: World) -> Hop:
    stable = world.status(key).get("stable") or {}
    took = str(stable.get("digest") or "")
    agrees = _same(took, weights)
    parts = [str(stable.get("engine") or standing(key, world.get(key)).phase)]
    parts += [f"let in by {stable['evaluation']}"] if stable.get("evaluation") else []
    parts += [f"serves {brief(took)}"] if agrees is False else []
    return Hop(name_of(key), "engine", str(stable.get("engineDigest") or ""), took, agrees, ", ".join(parts))


# --- which run is meant ----------------------------------------------------------------------------------------------


def _run_behind(key: Key, world: World) -> Key | None:
    """Find the run whose weights an evaluation judged or a deployment serves; digests go before names."""
    if key.kind == GEN_TRAINING_JOB:
        return key
    spec, status = world.spec(key), world.status(key)
    if key.kind == GEN_DEPLOYMENT:
        digest, named = (status.get("stable") or {}).get("digest"), spec.get("model")
    else:
        digest, named = (status.get("inputs") or {}).get("subjectDigest"), spec.get("subject")
    runs = world.keys(GEN_TRAINING_JOB)
    by_name = [k for k in runs if _names_run(named, k)]
    by_digest = [k for k in runs if digest and _made(k, world) == digest]
    both = [k for k in by_digest if k in by_name]
    return next(iter([*both, *by_digest, *by_name]), None)


def _names_run(part: Manifest | None, run: Key) -> bool:
    return ((part or {}).get("trainingJobRef") or {}).get("name") == run.name


def _judged(key: Key, digest: str, world: World) -> bool:
    return bool(digest) and (world.status(key).get("inputs") or {}).get("subjectDigest") == digest


def _serves(key: Key, digest: str, world: World) -> bool:
    return bool(digest) and (world.status(key).get("stable") or {}).get("digest") == digest


def _made(run: Key, world: World) -> str:
    return str((world.status(run).get("output") or {}).get("digest") or "")


def _data_key(run: Key, world: World) -> Key | None:
    name = (world.spec(run).get("datasetRef") or {}).get("name")
    return Key(GEN_DATASET, run.namespace, name) if name else None


def _same(took: str, made: str) -> bool | None:
    return took == made if took and made else None


# --- from what a GenModel remembers ----------------------------------------------------------------------------------


def _of_run(run: Manifest, model: Key, world: World) -> Line:
    """The line of one run: from its objects while they are there, else from the digests that the GenModel keeps."""
    title = f"Run {run['number']}, {run.get('cause', '')}: {run.get('outcome', '')}"
    training = next((k for k in world.owned(model, GEN_TRAINING_JOB) if run_of(world.get(k)) == run["number"]), None)
    if training:
        return Line(_data_of(training, world), title)
    kept = run.get("digests") or {}
    ends = tuple(Hop("", name, kept[name]) for name in ("report", "engine") if name in kept)
    weights = Hop("", "weights", kept.get("weights", ""), kept.get("dataset", ""), None, "its objects have gone", ends)
    return Line(Hop("", "data", kept.get("dataset", ""), below=(weights,)), title)
