"""The one loop: look, think, act, tell. The same for every kind; nothing is decided here.

`look` reads the store (and pods, where the stage asks), `think` is the stage's pure plan, `act` creates, applies and
prunes children, `tell` writes the status and then posts the event. A fault anywhere is raised: the queue backs off and
the next look starts from what the cluster holds then.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from gencontract import layout
from gencontract.wire import explain
from genops.core.conditions import Condition, merge
from genops.core.jobs import has_ended, is_under_way
from genops.core.kinds import CREATE_ONCE, EVENT, JOB, JOB_SET, Kind
from genops.core.model import EVERY, FINALIZER, Config, Happening, Key, Manifest, Plan, PodSeen, Resource, Seen, Stage
from genops.core.reasons import Reason
from genops.shell import metrics
from genops.shell.cluster import Cluster
from genops.shell.errors import ApiError
from genops.shell.oracle import Oracle
from genops.shell.pods import list_pods, observe_pods
from genops.shell.queue import WorkQueue
from genops.shell.store import Store, owner_key, owner_uid
from genops.shell.subset import contains, marked
from genops.shell.wakeups import Wakeups

log = logging.getLogger("genops.engine")

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Read the wall clock."""
    return datetime.now(UTC)


class Engine:
    """Reconciles objects of all stages, one key at a time."""

    def __init__(
        self,
        cluster: Cluster,
        stages: Iterable[Stage[Any]],
        queue: WorkQueue[Key],
        config: Config | None = None,
        clock: Clock = utc_now,
        present: Iterable[Kind] = (),
        oracle: Oracle | None = None,
    ) -> None:
        self.cluster, self.queue, self.oracle = cluster, queue, oracle
        self.stages = {stage.kind: stage for stage in stages}
        self.store, self.wakeups, self.present = Store(), Wakeups(), frozenset(present)
        self._config, self._clock = config or Config(), clock
        self.vouched = False  # as the last resync found it

    async def work(self) -> None:
        """Take keys from the queue until it closes."""
        while (key := await self.queue.get()) is not None:
            await self._one(key)

    async def _one(self, key: Key) -> None:
        reconcile_id = f"{time.monotonic_ns():x}"[-8:]
        extra = {"key": str(key), "reconcile_id": reconcile_id}
        started = time.perf_counter()
        try:
            wake_after = await self.reconcile(key)
        except asyncio.CancelledError:
            self.queue.failed(key)
            raise
        except Exception as error:
            delay = self.queue.failed(key)
            metrics.RECONCILES.labels(key.kind.kind, "fault").inc()
            level = logging.INFO if isinstance(error, ApiError) and error.conflict else logging.WARNING
            known = isinstance(error, ApiError)
            log.log(level, "Fault, again in %.1f s: %s", delay, error, extra=extra, exc_info=None if known else error)
        else:
            self.queue.done(key)
            metrics.RECONCILES.labels(key.kind.kind, "done").inc()
            log.debug("Reconciled in %.3f s", time.perf_counter() - started, extra=extra)
            if wake_after is not None:
                self.queue.add_after(key, wake_after)
        finally:
            metrics.RECONCILE_SECONDS.labels(key.kind.kind).observe(time.perf_counter() - started)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one object to what its spec says. Returns when to look again in seconds, or None."""
        stage, manifest = self.stages[key.kind], self.store.get(key)
        if manifest is None:
            self.wakeups.forget(key)
            return None
        try:
            obj = Resource.read(stage.kind, stage.spec, manifest)
        except ValidationError as error:
            manifest = await self._tell(key, manifest, _refused(explain(error), stage, manifest.get("status") or {}))
            if "deletionTimestamp" in manifest["metadata"]:  # what nobody can read, nobody can clean up after
                await self._release(key, manifest)
            return None
        seen, now = await self._look(stage, obj)
        plan = stage.plan(obj, seen, now)
        if plan.hands_off:
            return None
        if plan.hold and not obj.held and not obj.deleting:
            manifest = await self._hold(key, manifest)
        try:
            await self._act(stage, obj, plan, seen)
        except ApiError as error:
            if error.namespace_terminating and obj.deleting:
                plan = stage.plan(obj, replace(seen, terminating=True), now)
            elif error.refused:
                await self._tell(key, manifest, _child_refused(plan, error))
                raise
            else:
                raise
        manifest = await self._tell(key, manifest, plan)
        if obj.held and not plan.hold:
            await self._release(key, manifest)
        return plan.wake_after

    async def _look(self, stage: Stage[Any], obj: Resource[Any]) -> tuple[Seen, datetime]:
        """See the world, and when: what was asked of a moment is answered to a plan of the same moment."""
        targets = stage.refs(obj)
        self.wakeups.remember(obj.key, targets)
        references = {key: found for target in targets for key in self._named(target) if (found := self.store.get(key))}
        children = self.store.owned_by(obj.uid, stage.owns)
        seen = Seen(children, references, {}, self.present, self._config, vouched=self.vouched)
        jobs = stage.inspect(obj, seen, self._clock())
        seen = replace(seen, pods={name: await self._pods(obj, seen.child(JOB, name)) for name in jobs})
        now = self._clock()
        questions = stage.asks(obj, seen, now) if self.oracle else {}
        if not self.oracle or not questions:
            return seen, now
        return replace(seen, answers=await self.oracle.ask(questions, now)), now

    def _named(self, target: Key) -> list[Key]:
        """Name what a reference stands for: one object, or every one of its kind in the namespace."""
        if target.name != EVERY:
            return [target]
        return [key for key in self.store.keys(target.kind) if key.namespace == target.namespace]

    async def _pods(self, obj: Resource[Any], job: Manifest | None) -> tuple[PodSeen, ...]:
        """See the pods of a Job: as the watch told, and once the Job has ended as the cluster says itself."""
        if job is None:
            return ()
        if has_ended(job):
            return await observe_pods(self.cluster, await list_pods(self.cluster, obj.namespace, _name(job)), False)
        known = self.store.pods_of(obj.namespace, _name(job))
        return await observe_pods(self.cluster, known, with_log=is_under_way(job, self._clock()))

    async def _act(self, stage: Stage[Any], obj: Resource[Any], plan: Plan, seen: Seen) -> None:
        if obj.deleting and not (obj.held and plan.hold):
            return
        kinds = {kind.kind: kind for kind in stage.owns}
        wanted = {(kinds[m["kind"]], m["metadata"]["name"]): m for m in plan.children}
        for (kind, name), body in wanted.items():
            known = seen.child(kind, name) or self._shared(kind, body)
            if kind in CREATE_ONCE:
                await self._create_once(kind, body, known, obj)
            elif known is None or not contains(known, marked(body)):
                self._made(kind, await self.cluster.apply(kind, marked(body)))
        for kind, manifests in seen.children.items():
            for child in manifests:
                if (kind, child["metadata"]["name"]) not in wanted and _ours(child, obj.uid):
                    await self._prune(kind, child)

    def _shared(self, kind: Kind, body: Manifest) -> Manifest | None:
        """Find a child that belongs to the whole namespace, such as the store's claim: it names no owner."""
        if _owned(body):
            return None
        return self.store.get(Key(kind, body["metadata"]["namespace"], body["metadata"]["name"]))

    async def _create_once(self, kind: Kind, body: Manifest, known: Manifest | None, obj: Resource[Any]) -> None:
        if known is None:
            await self._create(kind, body, obj.uid)
            return
        wanted = body.get("spec", {}).get("suspend")
        if kind in (JOB, JOB_SET) and wanted is not None and known["spec"].get("suspend", False) != wanted:
            name = body["metadata"]["name"]
            self.store.put(kind, await self.cluster.patch(kind, obj.namespace, name, {"spec": {"suspend": wanted}}))

    async def _create(self, kind: Kind, body: Manifest, uid: str) -> Manifest:
        try:
            made = await self.cluster.create(kind, body)
        except ApiError as error:
            if not error.already_exists:
                raise
            found = await self.cluster.get(kind, body["metadata"]["namespace"], body["metadata"]["name"])
            if found is None or (_owned(body) and owner_uid(found) != uid):
                raise
            made = found
        self._made(kind, made)
        return made

    def _made(self, kind: Kind, manifest: Manifest) -> None:
        """Keep the answer to a write. Its watch event tells nothing new any more, so whom it concerns is woken here."""
        key = Key(kind, manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        if self.store.put(kind, manifest):
            self._wake([*([key] if kind in self.stages else []), *self.wakeups.referrers(key)])

    async def _prune(self, kind: Kind, child: Manifest) -> None:
        meta = child["metadata"]
        if "deletionTimestamp" not in meta:
            await self.cluster.delete(kind, meta["namespace"], meta["name"], meta["uid"])

    async def _hold(self, key: Key, manifest: Manifest) -> Manifest:
        """Keep the object from being removed, before it has anything that would be left behind."""
        finalizers = [*manifest["metadata"].get("finalizers", ()), FINALIZER]
        after = await self._set_finalizers(key, manifest, finalizers)
        self.store.put(key.kind, after)
        return after

    async def _release(self, key: Key, manifest: Manifest) -> None:
        """Let the object go. All that is to be said of it was said before."""
        finalizers = [f for f in manifest["metadata"].get("finalizers", ()) if f != FINALIZER]
        try:
            await self._set_finalizers(key, manifest, finalizers)
        except ApiError as error:
            if not error.not_found:
                raise

    async def _set_finalizers(self, key: Key, manifest: Manifest, finalizers: list[str]) -> Manifest:
        """Write the whole list at the version that was looked at, so that nobody else's finalizer is lost."""
        meta = {"resourceVersion": manifest["metadata"]["resourceVersion"], "finalizers": finalizers}
        return await self.cluster.patch(key.kind, key.namespace, key.name, {"metadata": meta})

    async def _tell(self, key: Key, manifest: Manifest, plan: Plan) -> Manifest:
        """Write the status and then post the event. Returns the object as it stands now."""
        before, generation = manifest.get("status") or {}, manifest["metadata"].get("generation", 1)
        conditions = merge(plan.conditions, before.get("conditions", ()), generation, self._clock())
        status = {**plan.status, "observedGeneration": generation, "conditions": conditions}
        if status != before:
            # At the version that was looked at: never about a spec, or a later object of the name, that was not.
            meta = {k: manifest["metadata"][k] for k in ("name", "namespace", "resourceVersion")}
            try:
                manifest = await self.cluster.apply_status(key.kind, {"metadata": meta, "status": status})
            except ApiError as error:
                if not error.not_found:
                    raise
                return manifest  # deleted meanwhile: nobody is left to tell
            self.store.put(key.kind, manifest)
            owner = owner_key(manifest)
            self._wake([*([owner] if owner and owner.kind in self.stages else []), *self.wakeups.referrers(key)])
        told = before.get("conditions", ())
        if plan.happening and _is_news(plan.happening, told):
            await self._emit(key, manifest, plan.happening)
        return manifest

    async def _emit(self, key: Key, manifest: Manifest, happening: Happening) -> None:
        """Post an event. An event that cannot be posted is not worth another look."""
        try:
            await self.cluster.create(EVENT, _event(key, manifest, happening, self._clock()))
        except ApiError as error:
            said = f"{happening.reason}: {happening.message}"
            log.warning("Event not posted (%s): %s", error, said, extra={"key": str(key)})

    def _wake(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.queue.add(key)


def _refused(why: str, stage: Stage[Any], before: Manifest) -> Plan:
    """Say that a spec which admission let through breaks a rule, as after an upgrade that asks for more.

    Its children are left as they are, and so is all else that its status tells: a lineage would be lost for good.
    """
    ready = Condition("Ready", "False", Reason.INVALID_SPEC, why)
    told = before.get("conditions", ())
    others = [
        Condition(c["type"], c["status"], c["reason"], c.get("message", "")) for c in told if c["type"] != "Ready"
    ]
    return Plan(
        status={k: v for k, v in before.items() if k != "conditions"} | {"phase": stage.stopped},
        conditions=(*others, ready),
        happening=Happening("Warning", Reason.INVALID_SPEC, why),
    )


def _child_refused(plan: Plan, error: ApiError) -> Plan:
    """Say what the API server said about a child; the rest of the status stays as planned."""
    why = f"{error.message}; mend the field it names, or the right that is missing"
    condition = Condition("Ready", "False", Reason.CHILD_REFUSED, why)
    others = tuple(c for c in plan.conditions if c.type != condition.type)
    happening = Happening("Warning", Reason.CHILD_REFUSED, why)
    return replace(plan, conditions=(*others, condition), happening=happening)


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def _owned(body: Manifest) -> bool:
    return bool(body["metadata"].get("ownerReferences"))


def _ours(child: Manifest, uid: str) -> bool:
    labels = child["metadata"].get("labels", {})
    return labels.get(layout.LABEL_MANAGED_BY) == layout.MANAGED_BY and owner_uid(child) == uid


def _is_news(happening: Happening, told: Iterable[Mapping[str, Any]]) -> bool:
    """An event is news while no condition written before carries its reason."""
    return all(c.get("reason") != happening.reason for c in told)


def _event(key: Key, manifest: Manifest, happening: Happening, now: datetime) -> Manifest:
    micro = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"generateName": f"{key.name[:200]}-", "namespace": key.namespace},
        "eventTime": micro,
        "action": "Reconcile",
        "type": happening.type,
        "reason": happening.reason,
        "note": happening.message[:1024],
        "reportingController": "genops.dev/operator",
        "reportingInstance": "genops",
        "regarding": {
            "apiVersion": key.kind.api_version,
            "kind": key.kind.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": manifest["metadata"]["uid"],
        },
    }
