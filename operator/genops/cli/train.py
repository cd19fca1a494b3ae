"""`genops train --local FILE.yaml`: carry out the work of a file on this machine, without any cluster.

The engine runs over the cluster in memory, as for `genops plan`; here its Jobs are run too, one after the other, each
as the process that its pod would be, and what they report goes back to the engine. Stores are folders below one. The
same command again goes on where the last one was stopped. Knows processes and folders; what is run is decided by the
stages, and what a job does is the trainers' business.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gencontract import layout
from gencontract.codes import Code
from gencontract.wire import canonical, decode_task
from genops.core.jobs import has_ended
from genops.core.kinds import JOB, JOB_LABEL, OURS, POD
from genops.core.model import Key, Manifest
from genops.core.podspec import TASK_ANNOTATION
from genops.shell.errors import ClusterError
from genops.shell.planning import PlanError, Rehearsal, read
from genops.shell.settings import SettingsError, from_environment

STORE = Path(".genops/store")
WRONG = 2  # exit code for a file that cannot be carried out
NOT_OURS = ("HOME",)  # of a pod's environment: a person's own credentials and caches are meant here


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = "Prepare, train and evaluate what YAML files ask for, on this machine and without a cluster."
    parser.add_argument(
        "--local", type=Path, nargs="+", required=True, metavar="FILE", help="YAML with objects of ours"
    )
    parser.add_argument("--store", type=Path, default=STORE, help=f"folder that stands for all stores ({STORE})")


def main(args: argparse.Namespace) -> int:
    """Carry the files out; exits by the code of the first job that failed, or 2 where something was left undone."""
    try:
        if find_spec("gentrainers") is None:
            raise PlanError("the trainers are not installed; pip install 'genops[trainers]'")
        documents = [d for path in args.local for d in read(path)]
        said, code = asyncio.run(carried_out(documents, args.store.resolve()))
    except (PlanError, SettingsError, ClusterError) as error:
        print(f"genops train: {error}", file=sys.stderr)
        return WRONG
    for manifest in said:
        print(summary(manifest))
    if code == Code.PREEMPTED:
        print("genops train: stopped; the same command goes on from here", file=sys.stderr)
    return code or (0 if all(done(m) for m in said) else WRONG)


async def carried_out(documents: list[Manifest], store: Path) -> tuple[list[Manifest], int]:
    """Run every Job that the engine asks for. Returns what is said of the objects, and the first bad exit code."""
    stage, codes = Rehearsal(), list[int]()
    for document in documents:
        await stage.put(document)
    await stage.settle()
    while job := next((j for j in stage.cluster.all(JOB) if not (has_ended(j) or j["spec"].get("suspend"))), None):
        code, message = run(job, store)
        codes.append(code)
        if code == Code.PREEMPTED:
            break
        await ended(stage, job, code, message)
        await stage.settle()
    said = [m for m in stage.outcome() if m["kind"] in {k.kind for k in OURS}]
    return said, next((code for code in codes if code), 0)


def done(manifest: Manifest) -> bool:
    """Say whether an object came to what it was made for."""
    return any(c["type"] in ("Ready", "Complete") and c["status"] == "True" for c in _conditions(manifest))


def summary(manifest: Manifest) -> str:
    """Say in one line how an object stands."""
    about = ("Ready", "Complete", "Failed")
    said = [c for c in _conditions(manifest) if c["type"] in about]
    newest = next((c for c in said if c["status"] == "True"), said[0] if said else {"message": ""})
    phase = manifest["status"].get("phase", "")
    return f"{manifest['kind']} {manifest['metadata']['name']}: {phase}: {newest['message']}"


def _conditions(manifest: Manifest) -> list[dict[str, Any]]:
    return list((manifest.get("status") or {}).get("conditions", ()))


def run(job: Manifest, store: Path) -> tuple[int, str]:
    """Run one Job as a process. Returns its exit code and its termination message. Raises PlanError."""
    container = the_container(job)
    with tempfile.TemporaryDirectory() as scratch:
        task, log = Path(scratch) / "task.json", Path(scratch) / "report.json"
        task.write_bytes(canonical(at_home(the_task(job), store)))
        names = {"python": sys.executable, layout.TASK_FILE: str(task)}
        command = [names.get(word, word) for word in container["command"]]
        environment = {**os.environ, **variables(container), layout.ENV_TERMINATION_LOG: str(log)}
        print(f"genops train: {job['metadata']['name']}", file=sys.stderr, flush=True)
        with stopping(subprocess.Popen(command, env=environment)) as process:
            code = process.wait()
        return code if code >= 0 else 128 - code, log.read_text() if log.exists() else ""


@contextmanager
def stopping(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Hand a request to stop on to a process, which saves its state and ends."""
    before = {s: signal.signal(s, lambda *_: process.terminate()) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield process
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def the_container(job: Manifest) -> dict[str, Any]:
    """Return the one container of a Job that this machine can run. Raises PlanError."""
    name, spec = job["metadata"]["name"], job["spec"]
    container: dict[str, Any] = spec["template"]["spec"]["containers"][0]
    if container["image"] != from_environment().config.trainer_image:
        raise PlanError(f"{name} runs the image {container['image']}; only a cluster runs images")
    if spec.get("completions", 1) > 1:
        raise PlanError(f"{name} needs {spec['completions']} pods; set nodes to 1 (procsPerNode may stay)")
    return container


def the_task(job: Manifest) -> Any:
    """Read the task of a Job's pod, in its plain form."""
    text = job["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION]
    return decode_task(text).model_dump(mode="json", by_alias=True, exclude_none=True)


def at_home(value: Any, store: Path) -> Any:
    """Put folders of this machine in the place of those that a pod would see."""
    if isinstance(value, dict):
        return {k: at_home(v, store) for k, v in value.items()}
    if isinstance(value, list):
        return [at_home(v, store) for v in value]
    for mounted in (layout.STORE_DIR, layout.SECRET_DIR):
        if isinstance(value, str) and value.startswith(mounted + "/"):
            return str(store / value.removeprefix(mounted + "/"))
    return value


def variables(container: dict[str, Any]) -> dict[str, str]:
    """Return a pod's environment; what comes from a Secret must be set here. Raises PlanError."""
    out = {}
    for variable in container["env"]:
        name = variable["name"]
        if "value" in variable and name not in NOT_OURS:
            out[name] = str(variable["value"])
        elif "valueFrom" in variable and name not in os.environ:
            raise PlanError(f"template.env {name} comes from a Secret or ConfigMap; set {name} in this environment")
    return out


async def ended(stage: Rehearsal, job: Manifest, code: int, message: str) -> None:
    """Tell the engine how a Job ended, as the Job controller and the kubelet would."""
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    labels = {**job["spec"]["template"]["metadata"]["labels"], JOB_LABEL: name}
    pod = await stage.cluster.create(POD, {"metadata": {"name": f"{name}-0", "namespace": namespace, "labels": labels}})
    terminated = {"exitCode": code, "finishedAt": now, "message": message}
    state = {"name": layout.CONTAINER, "state": {"terminated": terminated}}
    status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [state]}
    stage.cluster.set_status(Key(POD, namespace, pod["metadata"]["name"]), status)
    condition = {"type": "Failed" if code else "Complete", "status": "True", "lastTransitionTime": now}
    count = {"failed": 1} if code else {"succeeded": 1}
    stage.cluster.set_status(Key(JOB, namespace, name), {"startTime": now, **count, "conditions": [condition]})
