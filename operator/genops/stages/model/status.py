"""What is known of a GenModel, and how it is said: its runs, the one that counts, and what rests on what.

A run begins when there is none, when what decides the model (data, training, evaluation, success) has changed since
the last one, or when something asks for one and nothing holds it. Its number and its inputs' hash are facts in the
status; its objects carry the number too, so that a run whose objects were made and whose status was not is found again.
"""

from dataclasses import dataclass
from datetime import datetime

from genops.core.conditions import Condition, timestamp
from genops.core.digest import short_hash
from genops.core.model import Happening, Manifest, Resource, Seen
from genops.core.reasons import Reason
from genops.core.reporting import Said, number
from genops.core.rules import Rule, always, first
from genops.stages.model import budget, news
from genops.stages.model.budget import Spent
from genops.stages.model.chain import Chain, Link, numbers_of, read_chain, read_deployment
from genops.stages.model.news import News
from genops.stages.model.retraining import Asked, Past, asked, cause
from genops.stages.model.spec import Spec

APPROVE = "genops.dev/approve-run"  # annotation: the number of the run that may be served
DECIDING = ("dataset", "training", "evaluation", "success")
ENDED = ("Promoted", "Rejected", "Failed", "RolledBack", "Superseded")


@dataclass(frozen=True)
class Facts:
    """The world of one GenModel, read once."""

    chain: Chain  # of the current run
    deployment: Link
    served: Chain | None  # the run whose model is to be served
    kept: tuple[Chain, ...]  # every run whose objects stay
    runs: tuple[Manifest, ...]  # the lineage as it should stand
    suspended: bool
    deleting: bool
    serves: bool  # whether the idea asks for a deployment
    needs_approval: bool
    usage: Manifest
    spent: list[Manifest]  # what runs used that are no longer kept
    news: News
    asked: Asked | None = None  # the run that is asked for and still held

    @property
    def growing(self) -> bool:
        """Say whether the current run may go on."""
        return not self.suspended and not self.deleting

    @property
    def live(self) -> bool:
        """Say whether the served run's model answers."""
        if self.served is None or self.deployment.state != "done":
            return False
        stable = self.deployment.status.get("stable") or {}
        return bool(stable.get("digest")) and stable.get("digest") == _weights(self.served)


def inputs_hash(obj: Resource[Spec]) -> str:
    """Hash all that decides what a run makes."""
    spec = obj.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return short_hash({k: spec[k] for k in DECIDING if k in spec})


def read(obj: Resource[Spec], seen: Seen, now: datetime) -> Facts:
    """Read the world into facts."""
    before = {int(r["number"]): r for r in obj.status.get("runs", ())}
    deployment = read_deployment(obj, seen)
    current = _current_number(obj, seen, before)
    chains = {n: read_chain(obj, seen, n) for n in {current, *before, *numbers_of(seen)}}
    new, gone = news.read(obj, seen, before), [Spent.of_sum(entry) for entry in obj.status.get("spent", ())]
    past = Past(before, (*gone, *(Spent.of_run(_used(obj, chains[n], before[n])) for n in before)))
    next_run = _asked(obj, chains, past, new, current, deployment, now)
    if next_run and not next_run.held:
        current, next_run = next_run.number, None
        chains[current] = read_chain(obj, seen, current)
    known = sorted(chains)
    served = _served(obj, chains, before, current, deployment)
    why = cause(obj, deployment.status, new, current)
    runs = [_run(obj, chains[n], before, n == current, served, deployment, why, now) for n in known]
    kept = _kept_numbers(obj, runs, current, served)
    spent = [*gone, *map(Spent.of_run, runs)]
    return Facts(
        chain=chains[current],
        deployment=deployment,
        served=served,
        kept=tuple(chains[n] for n in known if n in kept),
        runs=tuple(r for r in runs if r["number"] in kept),
        suspended=obj.spec.suspend,
        deleting=obj.deleting,
        serves=obj.spec.deployment is not None,
        needs_approval=chains[current].passed and not _approved(obj, current),
        usage=budget.sums(budget.within(spent, obj.spec.budget, now)),
        spent=budget.kept(spent, kept, obj.spec.budget, now),
        news=new,
        asked=next_run,
    )


def report(facts: Facts) -> Said:
    """Say where the idea is, and why."""
    rule = first(RULES, facts)
    broken = facts.chain.broken
    message = rule.say.format(
        run=facts.chain.number,
        broken=f"{broken.label}: {broken.message}" if broken else "",
        evaluation=facts.chain.evaluation.message,
        deployment=facts.deployment.message,
        dataset=facts.chain.dataset.label,
        annotation=APPROVE,
    )
    if facts.asked:
        message += f". Run {facts.asked.number} is asked for by {facts.asked.cause}: {facts.asked.held}"
    if facts.news.why_not:
        message += f". How many samples are new is not known: {facts.news.why_not}"
    shown = facts.served or facts.chain
    status: Manifest = {
        "phase": rule.phase,
        "current": _current(shown, facts),
        "runs": list(facts.runs),
        "usage": facts.usage,
    }
    if facts.spent:
        status["spent"] = facts.spent
    ready = rule.reason in GOOD
    condition = Condition("Ready", "True" if ready else "False", rule.reason, message)
    loud = ready or (rule.phase == "Halted" and rule.reason is not Reason.SUSPENDED)
    happening = Happening("Normal" if ready else "Warning", rule.reason, message) if loud else None
    return Said(status, (condition,), happening)


# --- the rules -------------------------------------------------------------------------------------------------------

GOOD = (Reason.SERVING, Reason.VERDICT_PASSED)

RULES: tuple[Rule[Facts], ...] = (
    Rule(lambda f: f.deleting, "Halted", Reason.DELETING, "The object is being removed"),
    Rule(lambda f: f.suspended and not f.live, "Halted", Reason.SUSPENDED, "Set spec.suspend to false to go on"),
    Rule(lambda f: f.live and f.served is f.chain, "Serving", Reason.SERVING, "Run {run} is served"),
    Rule(lambda f: f.live and f.chain.open, "Retraining", Reason.SERVING, "Run {run} is under way"),
    Rule(lambda f: f.live, "Serving", Reason.SERVING, "Run {run} was not promoted; an earlier run is served"),
    Rule(lambda f: f.chain.broken is not None, "Halted", Reason.RUN_FAILED, "Run {run}: {broken}"),
    Rule(lambda f: f.chain.rejected, "Halted", Reason.RUN_REJECTED, "Run {run} did not pass: {evaluation}"),
    Rule(
        lambda f: f.needs_approval,
        "Halted",
        Reason.WAITING_FOR_APPROVAL,
        "Run {run} passed; annotate the GenModel with {annotation}={run} to serve it",
    ),
    Rule(
        lambda f: f.serves and f.served is not None,
        "Deploying",
        Reason.DEPLOYING,
        "Run {run} is being deployed: {deployment}",
    ),
    Rule(lambda f: f.chain.passed, "Serving", Reason.VERDICT_PASSED, "Run {run} passed; nothing is to be served"),
    Rule(lambda f: f.chain.training.state == "done", "Evaluating", Reason.RUNNING, "Run {run} is being judged"),
    Rule(lambda f: f.chain.dataset.state == "done", "Training", Reason.RUNNING, "Run {run} is being trained"),
    Rule(lambda f: f.chain.dataset.state == "working", "Data", Reason.RUNNING, "Run {run} waits for {dataset}"),
    Rule(always, "Ideation", Reason.CREATING, "Run {run} begins with {dataset}"),
)


# --- reading ---------------------------------------------------------------------------------------------------------


def _current_number(obj: Resource[Spec], seen: Seen, before: dict[int, Manifest]) -> int:
    """The run that counts now: the last one, or a new one when what decides it has changed."""
    last = max([*before, *numbers_of(seen)], default=0)
    if last == 0:
        return 1
    same = before.get(last, {}).get("inputs", inputs_hash(obj)) == inputs_hash(obj)
    return last if same or obj.spec.suspend else last + 1


def _asked(
    obj: Resource[Spec],
    chains: dict[int, Chain],
    past: Past,
    new: News,
    current: int,
    deployment: Link,
    now: datetime,
) -> Asked | None:
    """The run that is asked for, once the last one has ended and the served run's own model answers."""
    before = past.runs
    promoted = [n for n, r in before.items() if r.get("outcome") == "Promoted"]
    if not promoted or before.get(current, {}).get("outcome") not in ENDED or chains[current].open or obj.deleting:
        return None
    served = _weights(chains[max(promoted)])
    if obj.spec.deployment and (not served or (deployment.status.get("stable") or {}).get("digest") != served):
        return None
    return asked(obj, deployment.status, past, new, now)


def _cause(chain: Chain, before: Manifest, last: Manifest, inputs: str, asked_by: str) -> str:
    """What asked for a run: where its inputs are those of the run before, whatever asks for one now."""
    if before or chain.number == 1:
        return str(before.get("cause", "Initial" if chain.number == 1 else ""))
    return asked_by if last.get("inputs") == inputs else "SpecChanged"


def _approved(obj: Resource[Spec], run: int) -> bool:
    if obj.spec.promotion.mode == "Auto":
        return True
    return bool(obj.metadata.get("annotations", {}).get(APPROVE) == str(run))


def _served(
    obj: Resource[Spec], chains: dict[int, Chain], before: dict[int, Manifest], current: int, deployment: Link
) -> Chain | None:
    """The newest run that was promoted, or may be promoted now, and did not come back.

    While a new run is rolled out, the one before is Superseded; it is served again when the new one comes back.
    """
    good = {n for n, r in before.items() if n in chains and _was_served(r) and chains[n].passed}
    if chains[current].passed and _approved(obj, current) and before.get(current, {}).get("outcome") != "RolledBack":
        good.add(current)
    found = sorted(n for n in good if not _came_back(chains[n], deployment))
    return chains[found[-1]] if found else None


def _was_served(run: Manifest) -> bool:
    """Say whether a run is served, or was until a later one took its place."""
    outcome = run.get("outcome")
    return outcome == "Promoted" or (outcome == "Superseded" and "engine" in run.get("digests", {}))


def _came_back(chain: Chain, deployment: Link) -> bool:
    """Say whether the deployment has rolled a run's weights back."""
    return _weights(chain) in deployment.status.get("quarantined", ())


def _run(
    obj: Resource[Spec],
    chain: Chain,
    runs: dict[int, Manifest],
    is_current: bool,
    served: Chain | None,
    deployment: Link,
    why: str,
    now: datetime,
) -> Manifest:
    """One line of the lineage. What it said before stays where its objects have gone."""
    before = runs.get(chain.number, {})
    inputs = before.get("inputs") or inputs_hash(obj)
    outcome, message = _outcome(chain, before, is_current, served, deployment)
    ended = outcome in ENDED
    said: Manifest = {
        "number": chain.number,
        "cause": _cause(chain, before, runs.get(chain.number - 1, {}), inputs, why),
        "inputs": inputs,
        "outcome": outcome,
        "message": message,
        "startedAt": before.get("startedAt") or timestamp(now),
        "finishedAt": before.get("finishedAt") or timestamp(now) if ended else None,
        "digests": {**before.get("digests", {}), **_digests(chain, deployment, served)} or None,
        "samples": before.get("samples") or chain.dataset.status.get("samples"),
        "usage": before.get("usage"),
    }
    return _used(obj, chain, {k: v for k, v in said.items() if v not in (None, "")})


def _used(obj: Resource[Spec], chain: Chain, run: Manifest) -> Manifest:
    """Put down what a run's own objects used, as far as they are there; a dataset of somebody else's is not its own."""
    links = [link for link in chain.links if not (link is chain.dataset and obj.spec.dataset.ref)]
    said, before = [link.status.get("usage") or {} for link in links], run.get("usage") or {}
    used = {n: sum(float(u.get(n) or 0) for u in said) for n in budget.SIDES.values()}
    written = {n: number(max(value, float(before.get(n) or 0))) for n, value in used.items()}
    written = {n: value for n, value in written.items() if value != "0"}
    return {**run, "usage": written} if written else run


def _outcome(
    chain: Chain, before: Manifest, is_current: bool, served: Chain | None, deployment: Link
) -> tuple[str, str]:
    if before.get("outcome") in ("Promoted", "Superseded") and served is not None and served.number == chain.number:
        return "Promoted", ""
    if chain.passed and _came_back(chain, deployment):
        return "RolledBack", deployment.says("RolledBack")
    if before.get("outcome") in ENDED and before["outcome"] != "Promoted":
        return before["outcome"], before.get("message", "")
    if served is not None and served.number == chain.number:
        return "Promoted", ""
    if before.get("outcome") == "Promoted" or not is_current:
        return "Superseded", "A later run took its place"
    if chain.broken:
        return "Failed", f"{chain.broken.label}: {chain.broken.message}"
    if chain.rejected:
        return "Rejected", chain.evaluation.message
    return ("WaitingForApproval", "") if chain.passed else ("Running", "")


def _kept_numbers(obj: Resource[Spec], runs: list[Manifest], current: int, served: Chain | None) -> set[int]:
    """The current run, the served one, and the newest finished ones up to the limit."""
    pinned = {current, *([served.number] if served else [])}
    finished = [r["number"] for r in runs if r["outcome"] in ENDED and r["number"] not in pinned]
    return pinned | set(finished[-obj.spec.history_limit :])


def _weights(chain: Chain) -> str:
    return str((chain.training.status.get("output") or {}).get("digest") or "")


def _digests(chain: Chain, deployment: Link, served: Chain | None) -> Manifest:
    inputs = chain.training.status.get("inputs") or {}
    stable = deployment.status.get("stable") or {}
    weights = _weights(chain)
    said = {
        "dataset": chain.dataset.status.get("digest"),
        "base": inputs.get("baseDigest"),
        "weights": weights or None,
        "report": (chain.evaluation.status.get("report") or {}).get("digest"),
        "engine": stable.get("engineDigest") if weights and stable.get("digest") == weights else None,
        "code": inputs.get("codeVersion"),
        "image": inputs.get("imageDigest"),
    }
    return {k: v for k, v in said.items() if v}


def _current(chain: Chain, facts: Facts) -> Manifest:
    digests = next((r.get("digests") for r in facts.runs if r["number"] == chain.number), None)
    said: Manifest = {
        "run": chain.number,
        "dataset": chain.dataset.name if chain.dataset.manifest else None,
        "training": chain.training.name if chain.training.manifest else None,
        "evaluation": chain.evaluation.name if chain.evaluation.manifest else None,
        "deployment": facts.deployment.name if facts.deployment.manifest else None,
        "verdict": chain.verdict or None,
        "digests": digests,
    }
    return {k: v for k, v in said.items() if v}
