"""A stage of a few lines, to test the engine without any real kind: one Job, and a ConfigMap a number of times."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from genops.core.conditions import Condition
from genops.core.kinds import CONFIG_MAP, GEN_DATASET, GEN_MODEL, JOB
from genops.core.model import Happening, Key, Manifest, Plan, Resource, Seen, Stage
from genops.core.names import child_labels, child_name, owner_reference
from genops.shell.engine import Engine
from genops.shell.fake import FakeCluster
from genops.shell.informing import Informing
from genops.shell.oracle import Oracle
from genops.shell.queue import WorkQueue


class ToySpec(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    copies: int = Field(1, ge=0)
    wants: str | None = None
    paused: bool = False


def child(obj: Resource[ToySpec], kind: Any, role: str, inputs: Any, **fields: Any) -> Manifest:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": child_name(obj.name, role, inputs),
            "namespace": obj.namespace,
            "labels": child_labels(obj.kind, obj.metadata, role),
            "ownerReferences": [owner_reference(obj.kind, obj.metadata)],
        },
        **fields,
    }


def toy_plan(obj: Resource[ToySpec], seen: Seen, now: datetime) -> Plan:
    jobs = [child(obj, JOB, "work", obj.uid, spec={"suspend": obj.spec.paused, "template": {"spec": {}}})]
    maps = [child(obj, CONFIG_MAP, f"copy{i}", None, data={"i": str(i)}) for i in range(obj.spec.copies)]
    done = any((m.get("status") or {}).get("succeeded") for m in seen.children.get(JOB, ()))
    found = len(seen.references)
    return Plan(
        children=(*jobs, *maps),
        status={"phase": "Ready" if done else "Working", "found": found},
        conditions=(Condition("Ready", "True" if done else "False", "Done" if done else "Working", ""),),
        happening=Happening("Normal", "Done", "It is done") if done else None,
    )


def toy_refs(obj: Resource[ToySpec]) -> tuple[Key, ...]:
    return (Key(GEN_MODEL, obj.namespace, obj.spec.wants),) if obj.spec.wants else ()


TOY: Stage[ToySpec] = Stage(GEN_DATASET, ToySpec, (JOB, CONFIG_MAP), toy_refs, toy_plan)


class Bench:
    """An engine over a fake cluster whose watch never fails unless a test says so."""

    def __init__(self, stage: Stage[Any] = TOY, oracle: Oracle | None = None) -> None:
        self.cluster = FakeCluster()
        self.stage, self.oracle = stage, oracle
        self.restart()

    def restart(self) -> None:
        """Forget everything in memory, as a new process would."""
        self.queue: WorkQueue[Key] = WorkQueue(jitter=lambda: 0.0)
        self.engine = Engine(self.cluster, [self.stage], self.queue, oracle=self.oracle)
        self.informing = Informing(self.engine, also=frozenset({GEN_MODEL}))
        self.cluster.listener = self.informing.arrived

    async def settle(self, looks: int = 200) -> None:
        """Look until nothing is left to look at. Raises what a look raises."""
        for _ in range(looks):
            if not len(self.queue):
                return
            key = await self.queue.get()
            assert key is not None
            try:
                await self.engine.reconcile(key)
            finally:
                self.queue.done(key)
        raise AssertionError(f"Nothing settled in {looks} looks")

    async def create(self, name: str = "toy", **spec: Any) -> Manifest:
        body = {"metadata": {"name": name, "namespace": "default"}, "spec": spec}
        return await self.cluster.create(GEN_DATASET, body)

    def status(self, name: str = "toy") -> Manifest:
        found = [m for m in self.cluster.all(GEN_DATASET) if m["metadata"]["name"] == name]
        return dict(found[0].get("status") or {})

    def names(self, kind: Any) -> list[str]:
        return [m["metadata"]["name"] for m in self.cluster.all(kind)]

    def writes(self) -> list[tuple[str, str, str]]:
        return [c for c in self.cluster.calls if c[0] not in ("get", "list")]
