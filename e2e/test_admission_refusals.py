"""A real API server refuses each wrong input of tests/support/wrong_inputs.py, and names the field.

The same rows run against pydantic in tests/specs, so both sides are held to one table. Requests are those of
`kubectl --validate=strict --dry-run=server`, sent through one `kubectl proxy`, as a kubectl for each row would take
minutes.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
import wrong_inputs as table

from gencontract.layout import API_VERSION
from genops.generate.crds import DEFINITIONS
from genops.local import programs

CRDS = Path(__file__).parents[1] / "crds"
NEW = [r for r in table.ROWS if not r.change]
CHANGES = [r for r in table.ROWS if r.change]
PLURALS = {d.kind: d.plural for d in DEFINITIONS}


class Server:
    """One namespace of the API server behind a proxy."""

    def __init__(self, address: str, namespace: str) -> None:
        self.root = f"http://{address}/apis/{API_VERSION}/namespaces/{namespace}"

    def create(self, document: dict[str, Any], query: str = "dryRun=All&fieldValidation=Strict") -> str:
        """Create an object, and return "" when it is taken, else what the server says about it."""
        return self._send("POST", f"{self.root}/{PLURALS[document['kind']]}?{query}", document)

    def replace(self, before: dict[str, Any], after: dict[str, Any]) -> str:
        """Put one document in the other's place, and return "" when it is taken, else what the server says."""
        assert "already exists" in (said := self.create(before, query="")) or not said
        url = f"{self.root}/{PLURALS[before['kind']]}/{before['metadata']['name']}"
        with urlopen(url, timeout=30) as answer:
            version = json.load(answer)["metadata"]["resourceVersion"]
        document = after | {"metadata": after["metadata"] | {"resourceVersion": version}}
        return self._send("PUT", f"{url}?dryRun=All&fieldValidation=Strict", document)

    def _send(self, method: str, url: str, document: dict[str, Any]) -> str:
        rater = document.get("spec", {}).get("rater")  # a verdict is taken from its rater alone
        sender = {"Impersonate-User": rater, "Impersonate-Group": "system:masters"} if rater else {}
        headers = {"Content-Type": "application/json", **sender}
        request = Request(url, json.dumps(document).encode(), headers, method=method)
        try:
            with urlopen(request, timeout=30):
                return ""
        except HTTPError as refusal:
            return str(json.load(refusal)["message"])


@pytest.fixture(scope="module")
def server(cluster: Any) -> Iterator[Server]:
    cluster.kubectl("apply", "-f", str(CRDS))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    namespace = f"admission-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", namespace)
    command = [programs.kubectl(), "--kubeconfig", str(cluster.kubeconfig), "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        yield Server(proxy.stdout.readline().rsplit(" ", 1)[1].strip(), namespace)
        proxy.terminate()
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.parametrize("row", NEW, ids=str)
def test_a_wrong_input_is_refused(server: Server, row: table.Row) -> None:
    assert row.names in server.create(row.document())


@pytest.mark.parametrize("row", CHANGES, ids=str)
def test_a_forbidden_change_is_refused(server: Server, row: table.Row) -> None:
    assert row.names in server.replace(table.load(row.sample), row.document())


@pytest.mark.parametrize(("sample", "change"), table.ALLOWED, ids=lambda x: str(x)[:60])
def test_an_allowed_change_is_taken(server: Server, sample: str, change: dict[str, Any]) -> None:
    assert server.replace(table.load(sample), table.Row("", sample, "", change).document()) == ""
