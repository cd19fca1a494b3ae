"""Decide which versions of a model run, and which of them the requests reach. Pure: worlds in, a decision out.

The one law: whoever answers is not taken away before another answers in its place, unless the strategy is Recreate.
Knows nothing of how servers are rendered, how requests are split, or what the verdict was.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from genops.stages.deployment.canary import Probation
from genops.stages.deployment.servers import Server, Version

Judge = Callable[[Server | None, Server], Probation]  # of the new version's server, beside the one that answers


@dataclass(frozen=True)
class Rollout:
    """What should run, and where requests should go."""

    routed: str = ""  # id of the version that answers
    stable: Server | None = None  # its server
    candidate: Server | None = None  # whoever is to follow, and does not answer alone yet
    probation: Probation | None = None  # how far it has come
    wanted: Version | None = None  # to be rendered from the spec
    kept: tuple[Server, ...] = ()  # to be left as they are
    gone_back: Server | None = None  # whoever failed and goes now

    @property
    def switching(self) -> bool:
        """Say whether the new version is to answer now, while the old one is still there."""
        return self.wanted is not None and self.routed == self.wanted.id and bool(self.kept)

    @property
    def weight(self) -> int:
        """Per cent of the requests that are to reach the candidate."""
        return self.probation.weight if self.candidate and self.probation else 0


def decide(
    wanted: Version | None,
    servers: Mapping[str, Server],
    routed: str,
    judge: Judge,
    strategy: str = "Canary",
    auto_rollback: bool = True,
    quarantined: Iterable[str] = (),
) -> Rollout:
    """Decide from what runs and what is wanted; `routed` is the version that answers now."""
    serving = servers.get(routed) or next((s for s in servers.values() if s.ready), None)
    if wanted is None or (serving and serving.id != wanted.id and wanted.model in quarantined):
        return _as_is(serving)
    if serving is None or serving.id == wanted.id or strategy == "Recreate":
        return Rollout(routed=wanted.id, stable=servers.get(wanted.id), wanted=wanted)
    candidate = servers.get(wanted.id)
    probation = judge(candidate, serving)
    if candidate is None:
        return Rollout(serving.id, serving, probation=probation, wanted=wanted, kept=(serving,))
    return _beside(candidate, serving, probation, wanted, auto_rollback)


def _beside(candidate: Server, serving: Server, probation: Probation, wanted: Version, auto_rollback: bool) -> Rollout:
    """Decide about a new version that stands beside the one that answers."""
    parked = serving.desired == 0 and candidate.settled
    if probation.done or parked:
        return Rollout(routed=wanted.id, stable=candidate, wanted=wanted, kept=(serving,))
    failed = candidate.hopeless or bool(probation.failed)
    if failed and auto_rollback and wanted.model:
        return Rollout(serving.id, serving, kept=(serving,), gone_back=candidate, probation=probation)
    return Rollout(serving.id, serving, candidate, probation, wanted, kept=(serving,))


def _as_is(serving: Server | None) -> Rollout:
    if serving is None:
        return Rollout()
    return Rollout(routed=serving.id, stable=serving, kept=(serving,))
