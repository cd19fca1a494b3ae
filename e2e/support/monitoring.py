"""What tests ask of Prometheus besides running it: jobs that scrape, and promtool's unit tests of rules."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from genops.local.prometheus import Monitor, free_port, program, prometheus, serves

__all__ = ["Monitor", "free_port", "program", "prometheus", "rule_test", "scraping", "serves"]


def translated(endpoint: Mapping[str, Any], name: str, page: str) -> dict[str, Any]:
    """Write the scrape config that Prometheus' own operator makes of a monitor's endpoint; `page` lists the targets.

    A label that both a target and a series have is the target's, unless the endpoint honours that of the series.
    """
    return {
        "job_name": name,
        "metrics_path": endpoint.get("path", "/metrics"),
        "honor_labels": endpoint.get("honorLabels", False),
        "http_sd_configs": [{"url": page, "refresh_interval": "2s"}],
    }


def plain(expr: str, namespace: str = ".*", name: str = ".*") -> str:
    """Put into a panel's query what Grafana would: the objects that a person chose, and a rate over some scrapes."""
    for variable, value in {"$__rate_interval": "10s", "$namespace": namespace, "$name": name}.items():
        expr = expr.replace(variable, value)
    return expr


def scraping(name: str, *targets: str, **labels: str) -> dict[str, Any]:
    """Write one job of scrape_configs: HOST:PORT of pages at /metrics, and labels as a PodMonitor would add them."""
    return {"job_name": name, "static_configs": [{"targets": list(targets), "labels": labels}]}


def rule_test(folder: Path, test: Mapping[str, Any], rules: str) -> str:
    """Run a unit test of promtool. Returns what it found wrong; nothing where the test holds."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yaml").write_text(rules)
    (folder / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], **test}))
    done = subprocess.run(
        [program("promtool"), "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 or "got:" in said, f"promtool could not run the test:\n{said}"
    return "" if done.returncode == 0 else said
