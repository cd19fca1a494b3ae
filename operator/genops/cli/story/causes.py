"""Why an object is where it is: from it down what it waits for, to the root cause and what a person does about it.

Pure: a world and a moment in, a story out. It must not know where either came from, nor how it is printed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from genops.cli.story.names import short
from genops.cli.story.standing import (
    Standing,
    condition,
    progress,
    seconds_since,
    span,
    standing,
)
from genops.cli.story.waits import held_by
from genops.cli.story.world import World
from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB, GEN_VERDICT, POD
from genops.core.model import Key, Manifest
from genops.core.reasons import Reason
from genops.core.remedies import remedy

# Conditions that are worth a word when they hold, beside the one that tells.
ASIDES = {
    GEN_DEPLOYMENT: ("Drifted", "EngineFallback", "RolledBack"),
}
UNSEEN = (
    "The operator has said nothing of {name} yet: it was made just now, or the operator does not run, "
    "or does not look after this namespace"
)
LOOK_AT_OPERATOR = "look at the operator: kubectl get pods -A -l app.kubernetes.io/name=genops"


@dataclass(frozen=True)
class Step:
    """One object on the way down."""

    key: Key
    stands: Standing


@dataclass(frozen=True)
class Why:
    """The story of one object: the way down to the root, what was seen there, and what helps."""

    steps: tuple[Step, ...]
    evidence: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()
    remedy: str = ""
    made: str = ""  # when the root was made, where it is not well; RFC 3339
    stale: bool = False  # the operator has not looked at the newest spec

    @property
    def asked(self) -> Step:
        """The object that was asked about."""
        return self.steps[0]

    @property
    def root(self) -> Step:
        """The object where the cause lies."""
        return self.steps[-1]


def explain(key: Key, world: World, now: datetime) -> Why:
    """Find out why an object is where it is."""
    steps = [Step(key, standing(key, world.get(key)))]
    while (below := held_by(steps[-1].key, world)) and below not in [s.key for s in steps]:
        steps.append(Step(below, standing(below, world.get(below))))
    root = steps[-1]
    return Why(
        steps=tuple(steps),
        evidence=_evidence(root, world, now),
        asides=_asides(key, world),
        remedy=_remedy(steps, world),
        made="" if root.stands.since or root.stands.tone == "good" else _made(root.key, world),
        stale=_stale(key, world),
    )


def paragraph(why: Why, now: datetime) -> str:
    """Tell it in one paragraph."""
    return " ".join(text for text, _ in sentences(why, now))


def sentences(why: Why, now: datetime) -> list[tuple[str, str]]:
    """Tell it sentence by sentence, each with how it is meant: the root's tone, or what helps."""
    root = why.root
    said = [(_way_down(why, now), "")] if len(why.steps) > 1 else []
    said.append((_of_root(root, now), root.stands.tone))
    if why.made:
        said.append((f"It was made {span(seconds_since(why.made, now))} ago.", ""))
    said += [(_sentence(text), "") for text in (*why.evidence, *why.asides)]
    if why.stale:
        said.append((f"The operator has not looked at the newest spec of {name_of(why.asked.key)} yet.", "waiting"))
    if why.remedy:
        said.append((_sentence(f"What to do: {why.remedy}"), "name"))
    return said


def as_json(why: Why) -> dict[str, Any]:
    """Tell it to programs."""
    told = [_step_json(s) for s in why.steps]
    return {
        **told[0],
        "waitsFor": told[1:],
        "rootCause": told[-1],
        "evidence": list(why.evidence),
        "besides": list(why.asides),
        "remedy": why.remedy,
        "upToDate": not why.stale,
    }


def _step_json(step: Step) -> dict[str, Any]:
    stands = step.stands
    return {
        "kind": step.key.kind.kind,
        "namespace": step.key.namespace,
        "name": step.key.name,
        "phase": stands.phase,
        "reason": str(stands.reason),
        "message": stands.message,
        "since": stands.since or None,
        "state": stands.tone,
    }


# --- the paragraph ---------------------------------------------------------------------------------------------------


def _way_down(why: Why, now: datetime) -> str:
    """The objects down to the root, each with its phase; their messages repeat the root's."""
    first, *between = why.steps[:-1]
    text = f"{_is(first, now)}{_link(first, ': it')}"
    text += "".join(f"{name_of(s.key)} ({s.stands.phase}){_link(s, ', which')}" for s in between)
    return f"{text}{name_of(why.root.key)}."


def _link(step: Step, who: str) -> str:
    """What has stopped does not wait any more."""
    return " because of " if step.stands.tone == "bad" else f"{who} waits for "


def _is(step: Step, now: datetime) -> str:
    name, stands = name_of(step.key), step.stands
    if not stands.since:
        return f"{name} is {stands.phase}"
    return f"{name} has been {stands.phase} for {span(seconds_since(stands.since, now))}"


def _of_root(root: Step, now: datetime) -> str:
    name, stands = name_of(root.key), root.stands
    if stands.phase == "Missing":
        return f"{name} does not exist in namespace {root.key.namespace}."
    if root.key.kind == GEN_VERDICT:
        return f"{name} chose {stands.phase}."
    if stands.phase == "Unseen":
        return f"{UNSEEN.format(name=name)}."
    reason = f" ({stands.reason})" if stands.reason and stands.reason != stands.phase else ""
    return _sentence(f"{_is(root, now)}{reason}: {stands.message}".rstrip(": "))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def name_of(key: Key) -> str:
    """Name an object for people."""
    return f"{key.kind}/{key.name}"


# --- what was seen at the root ---------------------------------------------------------------------------------------


def _evidence(root: Step, world: World, now: datetime) -> tuple[str, ...]:
    """What else is known there: how far it is, how its last pod ended, and the newest warning about it."""
    manifest = world.get(root.key)
    if manifest is None or root.stands.tone == "good":
        return ()
    far = progress(manifest) if root.stands.tone == "waiting" else ""
    found = [f"It is at {far}" if far else "", _last_failure(root, manifest, now), _warning(root, world, now)]
    return tuple(text for text in found if text)


def _last_failure(root: Step, manifest: Manifest, now: datetime) -> str:
    last = (manifest.get("status") or {}).get("lastFailure") or {}
    if not last.get("pod"):
        return ""
    code = f" with exit code {last['exitCode']}" if "exitCode" in last else ""
    when = f" {span(seconds_since(last['time'], now))} ago" if last.get("time") else ""
    message = str(last.get("message") or "")
    told = message in root.stands.message
    return f"Its pod {last['pod']} ended{code}{when}" + ("" if told or not message else f": {message}")


def _warning(root: Step, world: World, now: datetime) -> str:
    """The newest warning about the object, or about a Job or pod of it, that its message has not said already."""
    about = {(k.kind.kind, k.name) for k in (root.key, *_all_beneath(root.key, world))}
    events = [e for e in world.events if e.get("type") == "Warning" and _regards(e) in about]
    fresh = [
        e
        for e in events
        if str(e.get("note") or "") not in root.stands.message and e.get("reason") != root.stands.reason
    ]
    if not fresh:
        return ""
    newest = max(fresh, key=moment_of)
    kind, name = _regards(newest)
    when = span(seconds_since(moment_of(newest), now))
    return f"{when} ago {kind}/{name} had {newest.get('reason')}: {newest.get('note')}"


def _all_beneath(key: Key, world: World) -> list[Key]:
    below = world.beneath(key)
    return [*below, *(k for child in below if child.kind != POD for k in _all_beneath(child, world))]


def _regards(event: Mapping[str, Any]) -> tuple[str, str]:
    about = event.get("regarding") or {}
    return str(about.get("kind")), str(about.get("name"))


def moment_of(event: Mapping[str, Any]) -> str:
    """When an event was last seen, RFC 3339."""
    series = (event.get("series") or {}).get("lastObservedTime")
    found = series or event.get("eventTime") or event.get("deprecatedLastTimestamp")
    return str(found or event["metadata"].get("creationTimestamp") or "")


# --- what helps ------------------------------------------------------------------------------------------------------


def _remedy(steps: list[Step], world: World) -> str:
    root = steps[-1]
    if root.stands.phase == "Missing":
        by = f", which {name_of(steps[-2].key)} refers to" if len(steps) > 1 else ""
        return f"create {name_of(root.key)}{by}, or mend the reference"
    if root.stands.phase == "Unseen":
        return LOOK_AT_OPERATOR
    if root.stands.tone == "good":
        return _of_asides(root.key, world)
    return remedy(root.stands.reason, short(root.key)) or _where_to_look(root)


def _of_asides(key: Key, world: World) -> str:
    held = [c for name in ASIDES.get(key.kind, ()) if (c := condition(world.get(key), name)).get("status") == "True"]
    return next((r for c in held if (r := remedy(str(c.get("reason")), short(key)))), "")


def _where_to_look(root: Step) -> str:
    """Where nothing is to be done but to wait, or this program knows no better."""
    return f"see kubectl describe {short(root.key)}" if root.stands.tone == "bad" else ""


def _asides(key: Key, world: World) -> tuple[str, ...]:
    """What else people should know of the object that was asked about."""
    manifest = world.get(key)
    held = [c for name in ASIDES.get(key.kind, ()) if (c := condition(manifest, name)).get("status") == "True"]
    telling = standing(key, manifest).message
    said = [f"{c['type']}: {c.get('message')}" for c in held if c.get("message") != telling]
    return (*said, *_warned(key, manifest), *_not_promoted(key, world))


def _warned(key: Key, manifest: Manifest | None) -> list[str]:
    checks = condition(manifest, "Validated") if key.kind == GEN_DATASET else {}
    return [f"Checks: {checks['message']}"] if checks.get("reason") == Reason.CHECKS_WARNED else []


def _not_promoted(key: Key, world: World) -> list[str]:
    """Why a GenModel's newest run is not the one that is served."""
    runs = world.status(key).get("runs") or [] if key.kind == GEN_MODEL else []
    if not runs or standing(key, world.get(key)).tone != "good" or runs[-1].get("outcome") == "Promoted":
        return []
    return [f"Run {runs[-1]['number']} ended {runs[-1].get('outcome')}: {runs[-1].get('message', '')}".rstrip(": ")]


def _made(key: Key, world: World) -> str:
    return str(((world.get(key) or {}).get("metadata") or {}).get("creationTimestamp") or "")


def _stale(key: Key, world: World) -> bool:
    manifest = world.get(key)
    if manifest is None or key.kind not in (GEN_MODEL, GEN_DATASET, GEN_TRAINING_JOB, GEN_EVALUATION, GEN_DEPLOYMENT):
        return False
    observed = world.status(key).get("observedGeneration")
    return observed is not None and observed != manifest["metadata"].get("generation")
