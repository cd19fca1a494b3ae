"""Which report shows an object's samples, and the pod that reads it where it lies on a claim.

Pure: a world in, a place and a pod's manifest out. It must not know how either is reached.
"""

from dataclasses import dataclass
from typing import Any

from gencontract import layout
from genops.cli.story.causes import name_of
from genops.cli.story.errors import Nothing
from genops.cli.story.standing import standing
from genops.cli.story.world import World, run_of
from genops.core.kinds import GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB, JOB, POD
from genops.core.model import Key, Manifest
from genops.core.podspec import claims_of, container_security, pod_path, pod_security

FILES = {
    "samples": "samples.png",
    "baseline": "baseline.png",
    "real": "real.png",
    "nearest": "nearest.png",
    "report": "report.html",
}
KINDS = (GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB, GEN_DEPLOYMENT)
DEADLINE = 120
LINE = 4096  # characters; the container runtime cuts longer lines of a log
# Prints each file in base64 under its name, or the names that are there. Nothing is written.
READER = f"""
import base64, os, sys
folder, *names = sys.argv[1:]
for name in names:
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        there = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        print("missing", name, *there)
        sys.exit(0)
    text = base64.b64encode(open(path, "rb").read()).decode()
    print("file", name)
    for at in range(0, len(text), {LINE}):
        print("part", text[at : at + {LINE}])
print("end")
"""


@dataclass(frozen=True)
class Exhibit:
    """A report that can be fetched."""

    evaluation: Key
    uri: str
    digest: str


def exhibit(key: Key, world: World) -> Exhibit:
    """Find the newest report about what an object makes. Raises Nothing where there is none yet."""
    found = [k for k in _evaluations(key, world) if (world.status(k).get("report") or {}).get("uri")]
    if not found:
        raise Nothing(_none(key, world))
    report = world.status(found[-1])["report"]
    return Exhibit(found[-1], str(report["uri"]), str(report.get("digest") or ""))


def reader(of: Exhibit, world: World, names: list[str], image: str = "") -> Manifest:
    """Build a pod that prints files of a report on a claim. Raises Nothing where no image is known for it."""
    template = _template(of.evaluation, world)
    container: Manifest = next(iter(template.get("containers") or ()), {})
    image = image or str(container.get("image") or "")
    if not image:
        why = f"The Job of {name_of(of.evaluation)} has gone, and with it the image that can read the store"
        raise Nothing(f"{why}; name one that has Python with --image")
    mount = {"name": "store", "mountPath": f"{layout.STORE_DIR}/{claims_of(of.uri)[0]}", "readOnly": True}
    volume = {"name": "store", "persistentVolumeClaim": {"claimName": claims_of(of.uri)[0], "readOnly": True}}
    placed: Manifest = {k: template[k] for k in ("nodeSelector", "tolerations", "imagePullSecrets") if k in template}
    spec: dict[str, Any] = {
        **placed,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": DEADLINE,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "containers": [
            {
                "name": layout.CONTAINER,
                "image": image,
                "imagePullPolicy": container.get("imagePullPolicy", "IfNotPresent"),
                "command": ["python", "-S", "-c", READER, pod_path(of.uri), *names],
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                "securityContext": container_security(),
                "volumeMounts": [mount],
            }
        ],
        "volumes": [volume],
    }
    labels = {layout.LABEL_ROLE: "read-report"}
    metadata = {
        "generateName": f"{of.evaluation.name[:40]}-report-",
        "namespace": of.evaluation.namespace,
        "labels": labels,
    }
    return {"apiVersion": POD.api_version, "kind": POD.kind, "metadata": metadata, "spec": spec}


def _template(evaluation: Key, world: World) -> Manifest:
    jobs = world.owned(evaluation, JOB)
    return dict(world.spec(jobs[-1])["template"]["spec"]) if jobs else {}


def _evaluations(key: Key, world: World) -> list[Key]:
    """The evaluations of what an object makes, the one that counts last."""
    if key.kind == GEN_EVALUATION:
        return [key]
    if key.kind == GEN_MODEL:
        return sorted(world.owned(key, GEN_EVALUATION), key=lambda k: run_of(world.get(k)))
    status = world.status(key)
    made = (status.get("output") if key.kind == GEN_TRAINING_JOB else status.get("stable")) or {}
    about = [
        k
        for k in world.keys(GEN_EVALUATION)
        if made.get("digest") and (world.status(k).get("inputs") or {}).get("subjectDigest") == made["digest"]
    ]
    return sorted(about, key=lambda k: str((world.get(k) or {})["metadata"].get("creationTimestamp")))


def _none(key: Key, world: World) -> str:
    stands = standing(key, world.get(key))
    what = f"No GenEvaluation has a report about what {name_of(key)} makes"
    return f"{what}; it is {stands.phase}; see genops why {key.name}"
