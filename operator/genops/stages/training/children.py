"""What a GenTrainingJob owns: a run or the trials of a search, each a Job with what it needs, and the store's claim.

A run that exists is wanted as it stands: never rendered again, so that nothing which a newer operator would do
otherwise can touch it.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gencontract import layout
from gencontract.task import Checkpointing, Input, Run, TaskFile, TrainTask
from genops.core.blocks import Store
from genops.core.kinds import JOB, JOB_SET
from genops.core.model import Config, Manifest, Resource
from genops.core.names import child_name
from genops.core.podspec import pod_path
from genops.core.schema import read_dials
from genops.core.stores import place, shared_claim
from genops.stages.training.appdef import Launch, in_job_set, render, service
from genops.stages.training.inputs import Inputs, Place
from genops.stages.training.runs import DIALS, TRIAL
from genops.stages.training.runs import Run as Existing
from genops.stages.training.search import Dial, count, suggest
from genops.stages.training.spec import Search, Spec
from genops.stages.training.status import STAGE, Facts

# A JobSet's pod is called <job set>-node-0-<index>-<5 random>.
JOB_SET_NAME_LIMIT = 44


def wanted(obj: Resource[Spec], facts: Facts, config: Config) -> tuple[Manifest, ...]:
    """Everything that should exist."""
    claim = shared_claim(obj.spec.output, config, obj)
    kept = [m for run in facts.runs for m in _kept(obj, facts, run)]
    return (*claim, *kept, *(m for number, dials in _due(obj, facts) for m in start(obj, facts, config, number, dials)))


def _kept(obj: Resource[Spec], facts: Facts, run: Existing) -> tuple[Manifest, ...]:
    """What stays of a run that exists. One that has ended stays for its logs until its time is over."""
    if facts.expired or (facts.suspended and facts.queue and not run.ended):
        return ()  # Kueue would start it again at once: it gives its place back, and queues anew when it goes on
    if (run.report_lost and run in facts.live) or (facts.searching and _forgotten(facts, run)):
        return ()
    if run.job.finished:
        return (_as_it_stands(run, None),)
    if run.hopeless:
        return () if facts.queue else (_as_it_stands(run, True),)
    held = None if facts.queue else facts.suspended
    serves = obj.spec.nodes > 1 and not in_job_set(obj.spec)
    role = str(run.manifest["metadata"].get("labels", {}).get(layout.LABEL_ROLE, STAGE))
    return (_as_it_stands(run, held), *((service(obj, run.name, role),) if serves else ()))


def _forgotten(facts: Facts, run: Existing) -> bool:
    """Say whether a trial's Job may go: it has ended, the status says how, and another one is the best."""
    best = facts.outcome.status.get("search", {}).get("best", {}).get("number")
    return run.number in facts.settled and run.number != best


def _as_it_stands(run: Existing, suspend: bool | None) -> Manifest:
    """Name an existing Job, and say whether it is to be held, where that is ours to say."""
    kind = JOB_SET if run.manifest["kind"] == JOB_SET.kind else JOB
    spec: Manifest = {} if suspend is None else {"suspend": suspend}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": run.manifest["metadata"], "spec": spec}


def _due(obj: Resource[Spec], facts: Facts) -> Iterable[tuple[int, dict[str, Dial]]]:
    """Name the runs that are to be started now, with what each is given."""
    if facts.ended or facts.deleting or facts.job_set_missing or facts.inputs.trouble:
        return ()
    if facts.suspended and (facts.queue or facts.runs or facts.searching):
        return ()
    if obj.spec.search:
        return _next_trials(obj.spec.search, facts)
    return () if facts.runs else [(0, {})]


def _next_trials(search: Search, facts: Facts) -> list[tuple[int, dict[str, Dial]]]:
    """Fill the free places with the trials that come next."""
    taken = {r.number for r in facts.live} | {t.number for t in facts.outcome.tried}
    free = [n for n in range(count(search)) if n not in taken][: max(0, search.parallel - len(facts.live))]
    return [(n, suggest(search, n, facts.outcome.tried)) for n in free]


def start(
    obj: Resource[Spec], facts: Facts, config: Config, number: int, dials: Mapping[str, Dial]
) -> tuple[Manifest, ...]:
    """Build everything that one run needs."""
    made_of = inputs(obj, facts.inputs)
    trial = f"trial-{number}" if obj.spec.search else STAGE
    limit = {"limit": JOB_SET_NAME_LIMIT} if in_job_set(obj.spec) else {}
    task = train_task(obj, facts.inputs, config, [made_of, trial], dials)
    base = facts.inputs.base
    launch = Launch(
        name=child_name(obj.name, trial, [obj.uid, made_of], **limit),
        role=trial,
        task=TaskFile(run=Run(kind=obj.kind.kind, namespace=obj.namespace, name=obj.name, uid=obj.uid), task=task),
        places=tuple(
            uri
            for uri in (
                output(obj, config, [made_of, trial]),
                checkpoints(obj, config, [made_of, trial]),
                facts.inputs.dataset.uri if facts.inputs.dataset else None,
                base.uri if base else None,
            )
            if uri
        ),
        annotations={TRIAL: str(number), DIALS: json.dumps(dict(dials), sort_keys=True)} if obj.spec.search else {},
    )
    return render(obj, launch, config)


def train_task(
    obj: Resource[Spec], found: Inputs, config: Config, made_of: Any, dials: Mapping[str, Dial]
) -> TrainTask:
    """Say to the trainer what is to be done."""
    spec = obj.spec
    assert found.dataset is not None
    return TrainTask(
        dataset=_input(found.dataset),
        base=_input(found.base) if found.base else None,
        family=spec.family,
        size=spec.size,
        hyperparameters=read_dials({**spec.hyperparameters, **dials}),
        seed=spec.seed,
        checkpoint=Checkpointing(
            uri=pod_path(checkpoints(obj, config, made_of)),
            every_seconds=spec.checkpoint.every_seconds,
            keep=spec.checkpoint.keep,
        ),
        resume=spec.resume,
        output=pod_path(output(obj, config, made_of)),
    )


def inputs(obj: Resource[Spec], found: Inputs) -> dict[str, Any]:
    """Everything that decides what the weights will be. Fields left at their default do not count, so that a field
    which a newer operator adds changes no name."""
    spec = obj.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return {
        "spec": {k: v for k, v in spec.items() if k not in Spec.mutable},
        "dataset": found.dataset.digest if found.dataset else None,
        "base": found.base.digest if found.base else None,
    }


def output(obj: Resource[Spec], config: Config, made_of: Any) -> str:
    """Where the weights go: a folder that no other inputs ever write to, the same for every attempt."""
    return place(obj.spec.output, config, obj, made_of) + "/model"


def checkpoints(obj: Resource[Spec], config: Config, made_of: Any) -> str:
    """Where the checkpoints go: beside the output, or below a place of their own."""
    own = obj.spec.checkpoint.uri
    return place(Store(uri=own) if own else obj.spec.output, config, obj, made_of) + "/checkpoints"


def _input(found: Place) -> Input:
    return Input(uri=pod_path(found.uri), digest=found.digest)
