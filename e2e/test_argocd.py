"""Argo CD's own program judges every state that a rule of ours can say, by the health checks that are shipped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from argo import judged

from genops.core.reasons import Reason
from genops.core.rules import Rule
from genops.stages.dataset import status as dataset
from genops.stages.deployment import status as deployment
from genops.stages.evaluation import status as evaluation
from genops.stages.model import status as model
from genops.stages.training import status as training

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("argocd")]

RULES: dict[str, tuple[Rule[Any], ...]] = {
    "GenModel": model.RULES,
    "GenDataset": dataset.RULES,
    "GenTrainingJob": training.RULES,
    "GenEvaluation": evaluation.RULES,
    "GenDeployment": deployment.RULES,
}
TELLING = {"GenTrainingJob": "Complete", "GenEvaluation": "Complete", "GenDeployment": "Progressing"}

# By phase, whatever the kind; below what a kind means otherwise.
HEALTH = {
    "Healthy": "Ready Succeeded Serving Retraining Parked",
    "Degraded": "Blocked Failed Degraded Halted",
    "Suspended": "Suspended WaitingForHumans",
    "Progressing": "Ideation Data Training Evaluating Deploying Pending Preparing Queued Running Building Starting "
    "RollingOut Deleting",
}
BY_PHASE = {phase: health for health, phases in HEALTH.items() for phase in phases.split()}
BY_REASON = {
    ("Complete", Reason.VERDICT_PASSED): "Healthy",
    ("Complete", Reason.VERDICT_FAILED): "Degraded",
    ("Complete", Reason.VERDICT_INCONCLUSIVE): "Degraded",
    ("Halted", Reason.SUSPENDED): "Suspended",
    ("Halted", Reason.WAITING_FOR_APPROVAL): "Suspended",
    ("Halted", Reason.DELETING): "Progressing",
}


@dataclass(frozen=True)
class State:
    """One thing that an object can say of itself."""

    kind: str
    phase: str
    reason: str

    @property
    def expected(self) -> str:
        return BY_REASON.get((self.phase, self.reason)) or BY_PHASE[self.phase]  # type: ignore[call-overload]

    def __str__(self) -> str:
        return f"{self.kind}-{self.phase}-{self.reason}"


def states() -> list[State]:
    """Every phase with every reason of its rules; a rule that takes its reason from elsewhere has one for all."""
    found = {
        State(kind, rule.phase, reason) for kind, rules in RULES.items() for rule in rules for reason in reasons(rule)
    }
    return sorted(found, key=str)


def reasons(rule: Rule[Any]) -> list[str]:
    if rule.reason is evaluation.FROM_VERDICT:
        return list(evaluation.OF_VERDICT.values())
    return [rule.reason if rule.reason in set(Reason) else "Crashed"]


def an_object(kind: str, status: dict[str, Any] | None) -> dict[str, Any]:
    meta = {"name": "digits", "namespace": "team", "generation": 3}
    return {
        "apiVersion": "genops.dev/v1alpha1",
        "kind": kind,
        "metadata": meta,
        **({"status": status} if status else {}),
    }


def told(kind: str, phase: str, *conditions: tuple[str, str, str], generation: int = 3) -> dict[str, Any]:
    listed = [{"type": t, "status": "False", "reason": r, "message": m} for t, r, m in conditions]
    return an_object(kind, {"phase": phase, "observedGeneration": generation, "conditions": listed})


@pytest.mark.parametrize("state", states(), ids=str)
def test_every_state_has_its_health(state: State, tmp_path: Path) -> None:
    telling = TELLING.get(state.kind, "Ready")
    health, message = judged(tmp_path, told(state.kind, state.phase, (telling, state.reason, "because")))
    assert (health, message) == (state.expected, f"{state.phase}: because")


@pytest.mark.parametrize("kind", RULES)
def test_what_was_not_looked_at_is_under_way(kind: str, tmp_path: Path) -> None:
    good = next(phase for phase in HEALTH["Healthy"].split() if phase in {r.phase for r in RULES[kind]} | {"Ready"})
    for body in (an_object(kind, None), told(kind, good, generation=2)):
        assert judged(tmp_path, body) == ("Progressing", "The operator has not looked at this version yet")


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("reason", [Reason.INVALID_SPEC, Reason.CHILD_REFUSED])
def test_what_is_refused_is_degraded_in_every_phase(kind: str, reason: Reason, tmp_path: Path) -> None:
    body = told(kind, "Pending", ("Progressing", "Creating", "soon"), ("Ready", reason, "quota"))
    assert judged(tmp_path, body) == ("Degraded", f"{reason}: quota")


def test_a_phase_that_is_not_known_is_not_fine(tmp_path: Path) -> None:
    assert judged(tmp_path, told("GenDataset", "Melting"))[0] == "Unknown"


def test_a_verdict_is_a_fact(tmp_path: Path) -> None:
    assert judged(tmp_path, an_object("GenVerdict", None)) == ("Healthy", "Stated")
