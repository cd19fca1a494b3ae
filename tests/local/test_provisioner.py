"""Which claims get a volume, what it looks like, and when it goes."""

from pathlib import Path

import pytest

from genops.local.agent import provisioner
from genops.local.bootstrap import PROVISIONER

CLASSES = {
    "lazy": {"provisioner": PROVISIONER, "volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Delete"},
    "eager": {"provisioner": PROVISIONER, "volumeBindingMode": "Immediate"},
    "other": {"provisioner": "else", "volumeBindingMode": "Immediate"},
}
SELECTED = {"volume.kubernetes.io/selected-node": "local"}


def a_claim(storage_class="eager", annotations=None, **spec):
    meta = {"name": "c", "namespace": "n", "uid": "1-2", "annotations": annotations or {}}
    resources = {"requests": {"storage": "1Gi"}}
    return {
        "metadata": meta,
        "spec": {"storageClassName": storage_class, "accessModes": ["ReadWriteOnce"], "resources": resources, **spec},
    }


@pytest.mark.parametrize(
    ("claim", "wanted"),
    [
        (a_claim(), True),
        (a_claim("lazy"), False),
        (a_claim("lazy", SELECTED), True),
        (a_claim("other"), False),
        (a_claim("unknown"), False),
        (a_claim(None), False),
        (a_claim(volumeName="has"), False),
    ],
)
def test_claims_that_want_a_volume(claim, wanted):
    assert provisioner.wants_volume(claim, CLASSES) is wanted


def test_the_volume_is_the_claims_and_on_this_node():
    volume = provisioner.volume_for(a_claim("lazy"), CLASSES["lazy"], Path("/v"), "local")
    assert volume["metadata"]["name"] == "pvc-1-2"
    assert volume["spec"]["claimRef"]["uid"] == "1-2"
    assert volume["spec"]["local"]["path"] == "/v/pvc-1-2"
    assert "hostPath" not in volume["spec"]


@pytest.mark.parametrize(
    ("phase", "policy", "by", "done"),
    [
        ("Released", "Delete", PROVISIONER, True),
        ("Bound", "Delete", PROVISIONER, False),
        ("Released", "Retain", PROVISIONER, False),
        ("Released", "Delete", "else", False),
    ],
)
def test_volumes_that_go(phase, policy, by, done):
    volume = {
        "metadata": {"name": "v", "annotations": {"pv.kubernetes.io/provisioned-by": by}},
        "spec": {"persistentVolumeReclaimPolicy": policy},
        "status": {"phase": phase},
    }
    assert provisioner.is_done_with(volume) is done
