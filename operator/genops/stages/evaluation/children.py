"""What a GenEvaluation owns: a Job that measures, one that counts what people said, and the claim for the report."""

from gencontract import task as contract
from gencontract.deck import Ballots
from gencontract.task import EvaluateTask, MetricGate, Run, TallyTask, TaskFile
from genops.core.model import Config, Manifest, Resource
from genops.core.podspec import Trying, Work, claims_of, job, pod_path
from genops.core.reporting import Handover
from genops.core.schema import read_dials
from genops.core.stores import place, shared_claim
from genops.stages.evaluation.people import TALLY
from genops.stages.evaluation.spec import Metric, Spec
from genops.stages.evaluation.status import ROLE, Facts, Inputs, identity

# People judge samples, and samples come with a measured report; where no number is asked for, this one fits all data.
ANY_METRIC = MetricGate(name="novelty")


def wanted(obj: Resource[Spec], facts: Facts, config: Config) -> tuple[Manifest, ...]:
    """Everything that should exist. A Job that was made is left as it is, whatever its inputs have become since."""
    claim = shared_claim(None, config, obj)
    if facts.manifest and not facts.expired:
        return (*claim, facts.manifest, *_counter(obj, facts, config))
    if facts.startable:
        return (*claim, evaluate_job(obj, facts.inputs, config))
    return (*claim, *_counter(obj, facts, config))


def _counter(obj: Resource[Spec], facts: Facts, config: Config) -> tuple[Manifest, ...]:
    """The Job that counts, from when all ballots are there; it goes with the one that measured."""
    if facts.tally_manifest:
        return () if facts.expired else (facts.tally_manifest,)
    ballots = facts.people.ballots if facts.people and facts.counting and not facts.failed else None
    return (tally_job(obj, facts, ballots, config),) if ballots else ()


def tally_job(obj: Resource[Spec], facts: Facts, ballots: Ballots, config: Config) -> Manifest:
    """Build the Job that counts. It reads the deck where the measuring Job has put it."""
    spec, human = obj.spec, obj.spec.human
    assert facts.numbers is not None
    assert human is not None
    report = facts.numbers.said["report"]
    task = TallyTask(
        report=contract.Input(uri=pod_path(report["uri"]), digest=report["digest"]),
        raters=ballots.raters,
        ballots=ballots.cards,
        alpha=spec.alpha,
        min_win_rate=human.min_win_rate,
        min_agreement=human.min_agreement,
    )
    work = Work(
        role=TALLY,
        task=TaskFile(run=_run(obj), task=task),
        image=spec.image or config.trainer_image,
        claims=claims_of(report["uri"]),
        template=spec.template,
        read_only=True,
    )
    trying = Trying(spec.retry.limit, spec.active_deadline_seconds)
    return job(obj, work, trying, config, [report["digest"], ballots.raters, ballots.cards])


def evaluate_job(obj: Resource[Spec], inputs: Inputs, config: Config) -> Manifest:
    """Build the Job that measures."""
    spec = obj.spec
    goes_to = place(None, config, obj, identity(obj, inputs.digests))
    work = Work(
        role=ROLE,
        task=TaskFile(run=_run(obj), task=_task(spec, inputs, goes_to)),
        image=spec.image or config.trainer_image,
        claims=claims_of(goes_to, *(h.uri for h in inputs.all)),
        resources=spec.resources,
        template=spec.template,
    )
    trying = Trying(spec.retry.limit, spec.active_deadline_seconds)
    return job(obj, work, trying, config, identity(obj, inputs.digests))


def _run(obj: Resource[Spec]) -> Run:
    return Run(kind=obj.kind.kind, namespace=obj.namespace, name=obj.name, uid=obj.uid)


def _task(spec: Spec, inputs: Inputs, goes_to: str) -> EvaluateTask:
    return EvaluateTask(
        subject=_input(inputs.subject),
        baseline=_input(inputs.baseline) if inputs.baseline else None,
        dataset=_input(inputs.data),
        split=spec.split,
        samples=spec.samples,
        seeds=list(spec.seeds),
        metrics=[_gate(m) for m in spec.metrics] or [ANY_METRIC],
        alpha=spec.alpha,
        pairs=spec.human.pairs if spec.human else 0,
        output=pod_path(goes_to),
    )


def _input(handover: Handover) -> contract.Input:
    return contract.Input(uri=pod_path(handover.uri), digest=handover.digest or None)


def _gate(metric: Metric) -> MetricGate:
    return MetricGate(
        name=metric.name,
        op=metric.op,
        threshold=metric.threshold,
        max_regression=metric.max_regression,
        primary=metric.primary,
        options=read_dials(metric.options),
    )
