"""What the operator may do, out of what the stages own: each right stands here because some call needs it.

Knows which call of the shell needs which verb. It must not know charts or clusters. No rule holds a wildcard, reads
a Secret, or runs anything in a pod.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from genops.core.kinds import (
    ADMISSION_BINDING,
    ADMISSION_POLICY,
    CREATE_ONCE,
    EVENT,
    JOB,
    JOB_SET,
    LEASE,
    OURS,
    POD,
    Kind,
)
from genops.core.model import Stage
from genops.stages import STAGES
from genops.stages.verdict import policy

Rule = dict[str, Any]
Right = tuple[str, str]  # group, resource or resource/subresource

WATCHING = ("get", "list", "watch")
_ORDER = ("get", "list", "watch", "create", "update", "patch", "delete")


def rules(stages: Iterable[Stage[Any]] = STAGES) -> list[Rule]:
    """List what the operator needs in each namespace that it looks after; resources with equal verbs share a rule."""
    rights: dict[Right, set[str]] = defaultdict(set)
    for kind in OURS:
        rights[_right(kind)].update(WATCHING)
    for stage in stages:
        _reconcile(rights, stage)
    rights[_right(POD)].update(WATCHING)
    rights[_right(POD, "log")].add("get")
    rights[_right(EVENT)].add("create")
    return _merged(rights)


def lease_rules(name: str) -> list[Rule]:
    """List what leader election needs in the operator's own namespace. A name cannot bound a create."""
    bounded = {"apiGroups": [LEASE.group], "resources": [LEASE.plural], "resourceNames": [name]}
    return [
        {"apiGroups": [LEASE.group], "resources": [LEASE.plural], "verbs": ["create"]},
        {**bounded, "verbs": ["get", "update"]},
    ]


def cluster_rules() -> list[Rule]:
    """List what is read of the whole cluster: whether the API server vouches for raters, by two names."""
    kinds = (ADMISSION_POLICY, ADMISSION_BINDING)
    return [
        {"apiGroups": [k.group], "resources": [k.plural], "resourceNames": [policy.NAME], "verbs": ["get"]}
        for k in kinds
    ]


def _reconcile(rights: dict[Right, set[str]], stage: Stage[Any]) -> None:
    """Add what one stage needs: to write its status, and to make, change and prune its children."""
    rights[_right(stage.kind, "status")].add("patch")
    if stage.holds:
        rights[_right(stage.kind)].add("patch")  # metadata.finalizers
    # A child blocks the deletion of its owner; where that is enforced, it takes this right on the owner.
    rights[_right(stage.kind, "finalizers")].add("update")
    for kind in stage.owns:
        rights[_right(kind)].update((*WATCHING, "create", "delete"))
        if kind not in CREATE_ONCE or kind in (JOB, JOB_SET):
            rights[_right(kind)].add("patch")  # server-side apply, or `suspend` of a Job


def _right(kind: Kind, sub: str = "") -> Right:
    return kind.group, f"{kind.plural}/{sub}" if sub else kind.plural


def _merged(rights: dict[Right, set[str]]) -> list[Rule]:
    grouped: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource), verbs in sorted(rights.items()):
        grouped[group, tuple(v for v in _ORDER if v in verbs)].append(resource)
    return [{"apiGroups": [g], "resources": names, "verbs": list(verbs)} for (g, verbs), names in grouped.items()]
