"""Git's objects stay as Git has them: applied as Argo CD applies, looked after by the operator, and never changed.

Every sample is looked at in a namespace without room for pods; the overlay for trying runs to a model that serves.
"""

import copy
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from argo import judged
from operators import until
from places import Place, a_place, a_serving_cluster

from genops.core.kinds import JOB, OURS
from genops.core.model import FINALIZER, Manifest
from genops.generate.argocd import HEALTH_FILE
from genops.local.cluster import LocalCluster
from genops.stages import STAGES

ROOT = Path(__file__).resolve().parents[1]
# A verdict is a person's and no matter of Git's: the API server takes it from its rater alone.
SAMPLES = sorted(p for p in (ROOT / "manifests/samples").glob("*/*.yaml") if p.parent.name != "verdict")
OVERLAYS = ("base", "overlays/dev", "overlays/production")
GIT = "argocd-controller"  # the name by which Argo CD applies
TRACKING = "argocd.argoproj.io/tracking-id"
NO_ROOM = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "no-room"},
    "spec": {"hard": {"pods": "0"}},
}
RECONCILED = {stage.kind.kind for stage in STAGES}
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("gitops")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster of this file's own, with our kinds in it."""
    with a_serving_cluster() as own:
        yield own


def of_overlay(cluster: LocalCluster, overlay: str) -> list[Manifest]:
    """What Kustomize makes of a folder."""
    text = cluster.kubectl("kustomize", str(ROOT / "manifests" / overlay))
    return [document for document in yaml.safe_load_all(text) if document]


def named_apart(documents: list[Manifest]) -> list[Manifest]:
    """Samples of several folders side by side: a name that a kind has already gets a number."""
    names: Counter[str] = Counter()
    for body in documents:
        first = key(body)
        names[first] += 1
        if names[first] > 1:
            body["metadata"]["name"] += f"-{names[first]}"
    return documents


def tracked(documents: list[Manifest]) -> list[Manifest]:
    """The same for any namespace, with the mark by which Argo CD knows its own."""
    marked = copy.deepcopy(documents)
    for body in marked:
        meta = body["metadata"]
        meta.pop("namespace", None)
        meta["annotations"] = {**meta.get("annotations", {}), TRACKING: f"models:{body['kind']}/{meta['name']}"}
    return marked


def synced(place: Place, documents: list[Manifest]) -> dict[str, Manifest]:
    """Apply as Argo CD does. Returns what the API server made of it, before anybody else could touch it."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    apply = ("apply", "--server-side", f"--field-manager={GIT}", "-f", "-")
    there = json.loads(place.kubectl(*apply, "--dry-run=server", "-o", "json", stdin=text))
    place.kubectl(*apply, stdin=text)
    return {key(body): of_git(body) for body in there["items"]}


def key(body: Manifest) -> str:
    return f"{body['kind']}/{body['metadata']['name']}"


def of_git(body: Manifest) -> Manifest:
    """All of an object that Git may say. Our finalizer holds an object whose data goes with it; Git does not list it."""
    meta = body["metadata"]
    finalizers = [f for f in meta.get("finalizers", ()) if f != FINALIZER]
    kept = {k: meta.get(k) for k in ("labels", "annotations", "ownerReferences")}
    return {"spec": body["spec"], "finalizers": finalizers, **kept}


def everything(place: Place) -> dict[str, Manifest]:
    """All objects of our kinds as they are now, those that the operator made as well."""
    kinds = ",".join(f"{kind.plural}.{kind.group}" for kind in OURS)
    return {key(body): body for body in place.list(kinds, "--show-managed-fields")}


def live(place: Place, names: dict[str, Manifest]) -> dict[str, Manifest]:
    """The objects of Git as they are now."""
    return {name: body for name, body in everything(place).items() if name in names}


def written(fields: Manifest) -> bool:
    """Say whether an entry of managedFields is of more than a status and finalizers."""
    said = fields["fieldsV1"]
    only_held = set(said) == {"f:metadata"} and set(said["f:metadata"]) == {"f:finalizers"}
    return fields.get("subresource") != "status" and not only_held


def assert_untouched(place: Place, git: dict[str, Manifest]) -> None:
    """Everything is as it was applied, and nobody else has written what Git may say."""
    now = live(place, git)
    assert {name: of_git(body) for name, body in now.items()} == git
    for name, body in now.items():
        assert {f["manager"] for f in body["metadata"]["managedFields"] if written(f)} == {GIT}, name
        assert body["metadata"]["generation"] == 1, name


def assert_children_are_not_gits(place: Place) -> None:
    """What the operator makes has an owner and no mark of Argo CD's, which would have it pruned."""
    kinds = ",".join(f"{k.plural}.{k.group}" for k in (JOB, *OURS))
    made = [body for body in place.list(kinds) if TRACKING not in body["metadata"].get("annotations", {})]
    assert made
    assert all(body["metadata"].get("ownerReferences") for body in made)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_admitted(overlay: str, cluster: LocalCluster) -> None:
    documents = of_overlay(cluster, overlay)
    assert {d["kind"] for d in documents} == {"GenDataset", "GenModel"}
    spaces = {d["metadata"].get("namespace") for d in documents}
    assert spaces == ({None} if overlay == "base" else {f"genops-{Path(overlay).name}"})
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": tracked(documents)})
    cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=text)


def test_no_sample_is_changed(cluster: LocalCluster, tmp_path: Path) -> None:
    samples = tracked(named_apart([yaml.safe_load(path.read_text(encoding="utf-8")) for path in SAMPLES]))
    with a_place(cluster, tmp_path, GENOPS_RESYNC_SECONDS="2") as place:
        place.kubectl("create", "-f", "-", stdin=json.dumps(NO_ROOM))
        git = synced(place, samples)
        assert len(git) == len(SAMPLES)
        ours = {n for n, body in git.items() if n.split("/")[0] in RECONCILED and not body["spec"].get("managedBy")}

        def silent() -> set[str]:
            now = live(place, git)
            return {n for n in ours if not now[n].get("status", {}).get("observedGeneration")}

        until(lambda: not silent(), 60, lambda: f"a word of {silent()}", every=1.0)
        assert_untouched(place, git)
        assert_children_are_not_gits(place)


def test_nothing_is_changed_on_the_way_to_a_served_model(cluster: LocalCluster, tmp_path: Path) -> None:
    with a_place(cluster, tmp_path, GENOPS_RESYNC_SECONDS="5") as place:
        git = synced(place, tracked(of_overlay(cluster, "overlays/dev")))
        place.phase("genmodel", "digits", "Serving", "Halted")
        assert place.status("genmodel", "digits")["phase"] == "Serving", place.status("genmodel", "digits")
        assert_untouched(place, git)
        assert_children_are_not_gits(place)
        healthy = {name: judged(tmp_path, body)[0] for name, body in everything(place).items()}
        assert set(healthy.values()) == {"Healthy"}, healthy
        assert {name.split("/")[0] for name in healthy} == RECONCILED


def test_argo_cd_keeps_what_others_told_it(cluster: LocalCluster) -> None:
    """The health checks are applied to a ConfigMap that the platform team writes as well."""
    cluster.kubectl("create", "namespace", "argocd")
    cluster.kubectl("create", "configmap", "argocd-cm", "--namespace", "argocd", "--from-literal=url=https://argo")
    for _ in range(2):
        cluster.kubectl("apply", "--server-side", "--field-manager=genops", "-f", str(ROOT / HEALTH_FILE))
    data = json.loads(cluster.kubectl("get", "configmap", "argocd-cm", "--namespace", "argocd", "-o", "json"))["data"]
    assert data["url"] == "https://argo"
    assert len(data) == 1 + len(OURS)
