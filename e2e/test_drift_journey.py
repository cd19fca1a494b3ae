"""Drift on a real API server: a real Prometheus finds a deployment's pods by itself, and the object says what it sees."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitoring import free_port, prometheus, serves
from operators import until
from places import SMALL, Place, a_place, a_serving_cluster, said, train_digits
from traffic import Traffic, targets

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("triton")]

WATCH = {"name": "classes", "of": "input", "test": "psi", "threshold": 0.2, "windowSeconds": 8, "minSamples": 50}
SPEC: dict[str, Any] = {
    "model": {"trainingJobRef": {"name": "digits"}},
    "optimize": {"targets": ["onnx"], "shapes": {"batchSizes": [1, 8]}, "resources": SMALL},
    "server": {"resources": SMALL},
    "drift": [WATCH],
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Place, str]]:
    address = f"http://127.0.0.1:{free_port()}"
    with a_serving_cluster() as cluster, a_place(cluster, tmp_path, GENOPS_PROMETHEUS=address) as made:
        train_digits(made)
        yield made, address


def test_a_shift_of_the_traffic_is_said_on_the_object_and_silence_is_not_fine(
    place: tuple[Place, str], tmp_path: Path
) -> None:
    made, address = place
    made.make("GenDeployment", "front", SPEC)
    made.phase("gendeployment", "front", "Serving")

    def drifted(status: str, *reasons: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until the object says so, and return its status."""

        def look() -> dict[str, Any] | None:
            now = made.status("gendeployment", "front")
            c = said(now, "Drifted")
            return now if c["status"] == status and (not reasons or c["reason"] in reasons) else None

        return until(
            look, seconds, lambda: f"Drifted={status} {reasons}: {made.status('gendeployment', 'front')}", every=0.5
        )

    drifted("Unknown", "PrometheusUnreachable")
    port = int(address.rsplit(":", 1)[1])
    with serves(lambda: targets(made), "application/json") as page:
        job = {"job_name": "pods", "http_sd_configs": [{"url": f"http://{page}", "refresh_interval": "2s"}]}
        with prometheus(tmp_path / "monitor", job, port=port) as monitor:
            with Traffic(made, "front", list(range(10))) as traffic:
                drifted("False", "NoDrift")
                traffic.wanted = [1, 7]
                status = drifted("True", "Drifted")
                watch = status["drift"][0]
                assert (watch["name"], watch["windows"]) == ("classes", 2)
                assert float(watch["value"]) > float(watch["threshold"]) >= 0.2
                assert watch["since"]
            drifted("Unknown", "TooFewSamples")
            monitor.pause()
            drifted("Unknown", "PrometheusUnreachable")
