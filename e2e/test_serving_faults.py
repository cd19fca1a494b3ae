"""What goes wrong between weights and a server, on a real API server and a real Triton: said within a minute, and mended."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hands import SOON, flip, on_claim
from operators import until
from places import SMALL, Place, a_place, a_serving_cluster, evaluation, said, train_digits

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("triton")]

MISMATCH = "DigestMismatch"
# Puts another file in the place of the engine's and seals the folder again: whole by its digest, and no model.
BREAK = """
import json, pathlib, sys
from gentrainers import artifact
folder = pathlib.Path("/data", sys.argv[1])
next(folder.rglob("model.onnx")).write_bytes(b"not a model")
manifest = json.loads((folder / "manifest.json").read_text())
print(artifact.seal(folder, manifest["kind"], manifest["body"]))
"""


def spec(**more: Any) -> dict[str, Any]:
    return {
        "model": {"trainingJobRef": {"name": "digits"}},
        "optimize": {"targets": ["onnx"], "shapes": {"batchSizes": [1, 4]}, "resources": SMALL},
        "server": {"resources": SMALL},
        **more,
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with a_serving_cluster() as cluster, a_place(cluster, tmp_path_factory.mktemp("faults")) as made:
        train_digits(made)
        yield made


def says(place: Place, kind: str, name: str, which: str, *reasons: str, seconds: float = SOON) -> str:
    """Wait until a condition has one of some reasons, and return its message."""

    def look() -> dict[str, Any]:
        found = said(place.status(kind, name), which)
        return found if found.get("reason") in reasons else {}

    found = until(look, seconds, lambda: f"{kind}/{name} to say {reasons}: {place.status(kind, name)}", every=0.5)
    return str(found["message"])


def test_weights_and_data_with_a_changed_byte_stop_whatever_is_handed_them(place: Place) -> None:
    weights = place.status("gentrainingjob", "digits")["output"]["uri"]
    data = place.status("gendataset", "digits")["uri"]
    file = flip(place, weights, "*.safetensors")
    base = {"trainingJobRef": {"name": "digits"}}
    run = {"datasetRef": {"name": "digits"}, "family": "flow", "resources": SMALL}
    place.make("GenTrainingJob", "tuned", {**run, "baseModel": base, "hyperparameters": {"steps": 20, "batch": 32}})
    place.make("GenEvaluation", "judged", evaluation())
    place.make("GenDeployment", "built", spec(scale={"min": 0}))
    assert file in says(place, "gentrainingjob", "tuned", "Failed", MISMATCH)
    assert file in says(place, "genevaluation", "judged", "Complete", MISMATCH)
    assert file in says(place, "gendeployment", "built", "EngineReady", MISMATCH)
    flip(place, weights, "*.safetensors")
    place.kubectl("delete", "jobs", "-l", "genops.dev/owner-name=built")
    place.phase("gendeployment", "built", "Parked")

    shard = flip(place, data, "test/*")
    place.make("GenEvaluation", "on-other-data", evaluation())
    assert shard in says(place, "genevaluation", "on-other-data", "Complete", MISMATCH)
    flip(place, data, "test/*")
    place.make("GenEvaluation", "mended", evaluation())
    place.phase("genevaluation", "mended", "Complete")
    place.kubectl("delete", "gendeployment", "built")


def test_an_engine_out_of_tolerance_is_not_served_and_a_wider_one_is_enough(place: Place) -> None:
    exact = {**spec()["optimize"], "tolerance": {"atol": 0, "rtol": 0}, "fallback": False}
    place.make("GenDeployment", "strict", spec(optimize=exact, scale={"min": 0}))
    message = says(place, "gendeployment", "strict", "EngineReady", "OutOfTolerance")
    assert "onnx" in message
    assert "tolerance" in message
    assert place.list("deployments", "-l", "genops.dev/owner-name=strict") == []
    place.make("GenDeployment", "strict", spec(scale={"min": 0}))
    place.phase("gendeployment", "strict", "Parked")
    place.kubectl("delete", "gendeployment", "strict")


def test_a_model_that_triton_refuses_and_a_server_that_crashes_are_named_and_mended(place: Place) -> None:
    place.make("GenDeployment", "front", spec(scale={"min": 0}))
    place.phase("gendeployment", "front", "Parked")
    (server,) = place.list("deployments", "-l", "genops.dev/owner-name=front")
    version = json.loads(server["metadata"]["annotations"]["genops.dev/version"])
    claim, _, folder = version["uri"].removeprefix("pvc://").partition("/")
    version["digest"] = on_claim(place, claim, BREAK, folder)
    name = server["metadata"]["name"]
    place.kubectl("annotate", "deployment", name, "--overwrite", f"genops.dev/version={json.dumps(version)}")
    place.make("GenDeployment", "front", spec())
    assert "front" in says(place, "gendeployment", "front", "Ready", "BadData")

    nowhere = {"env": [{"name": "PYTHONHOME", "value": "/nowhere"}]}
    place.make("GenDeployment", "front", spec(server={"resources": SMALL, "instances": 2, "template": nowhere}))
    says(place, "gendeployment", "front", "Ready", "CrashLoop", seconds=120)
    place.make("GenDeployment", "front", spec(server={"resources": SMALL, "instances": 2}))
    place.phase("gendeployment", "front", "Serving")
