"""The API server and pydantic agree about samples that were changed at random.

What the server stores must be read, and what it refuses must be refused. The changes come from a fixed seed; give
GENOPS_FUZZ another number of them to look further.
"""

import copy
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml
from pydantic import ValidationError

from gencontract.layout import API_VERSION
from gencontract.wire import explain
from genops.generate.crds import DEFINITIONS
from genops.local import programs
from genops.stages.verdict import policy

ROOT = Path(__file__).parents[1]
CHANGES = int(os.environ.get("GENOPS_FUZZ", "300"))
VALUES = [None, -1, 0, 1, 2, "", "x", "1", True, [], {}, 0.5, 1.0, 10**12, 2**60, "a b", ["x"], {"x": 1}, "é", "-a"]
KINDS = {d.kind: d for d in DEFINITIONS}


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*at, key)
        yield from paths(child, (*at, key))


def get(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


SAMPLES = [yaml.safe_load(p.read_text(encoding="utf-8")) for p in sorted((ROOT / "manifests/samples").glob("*/*.yaml"))]
FIELDS: dict[Any, list[Any]] = {}
for one in SAMPLES:
    for path in paths(one["spec"]):
        FIELDS.setdefault(str(path[-1]), []).append(get(one["spec"], path))


def change(spec: Any, dice: random.Random) -> None:
    """Remove a field, put a value or another sample's field in its place, or add a field to it."""
    path = dice.choice(list(paths(spec)) or [()])
    if not path:
        return
    parent, key, new = get(spec, path[:-1]), path[-1], dice.choice(sorted(FIELDS))
    match dice.choice(["drop", "value", "other", "add"]):
        case "drop":
            del parent[key]
        case "value":
            parent[key] = copy.deepcopy(dice.choice(VALUES))
        case "other":
            parent[key] = copy.deepcopy(dice.choice(FIELDS.get(str(key), VALUES)))
        case "add" if isinstance(parent[key], dict):
            parent[key][new] = copy.deepcopy(dice.choice(FIELDS[new]))
        case "add" if isinstance(parent[key], list) and parent[key]:
            parent[key].append(copy.deepcopy(dice.choice(parent[key])))


@pytest.fixture(scope="module")
def address(cluster: Any) -> Iterator[str]:
    cluster.kubectl("apply", "-f", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    command = [programs.kubectl(), "--kubeconfig", str(cluster.kubeconfig), "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        yield proxy.stdout.readline().rsplit(" ", 1)[1].strip()
        proxy.terminate()


def ask_server(address: str, document: dict[str, Any]) -> tuple[str, Any]:
    """Return what the server says against it, and the spec it would store."""
    root = f"http://{address}/apis/{API_VERSION}/namespaces/default"
    url = f"{root}/{KINDS[document['kind']].plural}?dryRun=All&fieldValidation=Strict"
    request = Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"}, method="POST")
    try:
        with urlopen(request, timeout=30) as answer:
            return "", json.load(answer)["spec"]
    except HTTPError as refusal:
        said = json.load(refusal)["message"]
        # Whether a verdict's rater sent it is asked last, and is no matter of its spec alone.
        return "" if f"'{policy.NAME}'" in said else said, document["spec"]


def ask_pydantic(kind: str, spec: Any) -> str:
    try:
        KINDS[kind].spec.model_validate(spec)
    except ValidationError as error:
        return explain(error)
    return ""


def test_both_sides_agree(address: str) -> None:
    dice = random.Random(4)
    differ, refused = [], 0
    for _ in range(CHANGES):
        document = copy.deepcopy(dice.choice(SAMPLES))
        for _ in range(dice.choice([1, 1, 1, 2, 3])):
            change(document["spec"], dice)
        theirs, spec = ask_server(address, document)
        ours = ask_pydantic(document["kind"], spec)
        refused += bool(theirs)
        if bool(theirs) != bool(ours):
            differ.append((theirs, ours, json.dumps(document["spec"])))
    assert differ == []
    assert CHANGES // 4 < refused < CHANGES
