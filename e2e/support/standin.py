"""An image whose pods answer at once: every verb of the contract with a report of the right shape, and no work done.

So that a whole chain fits into seconds where the operator is tried and not the trainers. Only the standard library.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

IMAGE = "stand-in"
SETTINGS = {"GENOPS_TRAINER_IMAGE": f"{IMAGE}:trainers", "GENOPS_SERVER_IMAGE": f"{IMAGE}:server"}
POD = """
import hashlib, http.server, json, os, signal, sys

task = json.load(open(sys.argv[sys.argv.index("--task") + 1]))["task"]
verb = task["verb"]
digest = "sha256:" + hashlib.sha256(verb.encode()).hexdigest()
made = {"artifact": {"uri": task.get("output", ""), "digest": digest}}
reports = {
    "prepare": {**made, "samples": 3, "bytes": 3},
    "train": {**made, "step": 1},
    "evaluate": {
        **made,
        "verdict": "Passed",
        "metrics": [{"name": m["name"], "value": 1.0, "passed": True} for m in task.get("metrics", ())],
    },
    "optimize": {**made, "engines": [{"target": t, "chosen": i == 0} for i, t in enumerate(task.get("targets", ()))]},
    "sweep": {},
}


class Yes(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


if verb == "serve":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    http.server.ThreadingHTTPServer((os.environ["POD_IP"], task["readyPort"]), Yes).serve_forever()
with open("/dev/termination-log", "w") as out:
    json.dump({"verb": verb, "code": 0, **reports[verb]}, out)
"""


def place(root: Path) -> Path:
    """Where the image belongs: another program, or another interpreter, makes another one."""
    mark = hashlib.sha256(f"{sys.executable}\0{POD}".encode()).hexdigest()[:10]
    return root / f"{IMAGE}-{mark}"


def image(folder: Path) -> str:
    """Make the environment of the image, unless it is there. Returns its folder."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=".stand-in-", dir=folder.parent))
        venv.create(half, symlinks=True)
        (site,) = half.glob("lib/python*/site-packages")
        (site / "gentrainers.py").write_text(POD)
        try:
            os.rename(half, folder)
        except OSError:  # another worker was faster
            shutil.rmtree(half)
    return str(folder)


def model(name: str) -> str:
    """A GenModel whose chain goes from its data to a server, as JSON."""
    small = {"requests": {"cpu": "20m", "memory": "32Mi"}}
    body: dict[str, Any] = {
        "apiVersion": "genops.dev/v1alpha1",
        "kind": "GenModel",
        "metadata": {"name": name},
        "spec": {
            "intent": {"useCase": "Try the operator", "modality": "images"},
            "success": [{"metric": "fid", "op": "<=", "threshold": 8, "primary": True}],
            "dataset": {
                "template": {
                    "spec": {"source": {"builtin": {"name": "digits"}}, "format": "images", "resources": small}
                }
            },
            "training": {"template": {"spec": {"family": "flow", "resources": small}}},
            "evaluation": {"template": {"spec": {"samples": 48, "resources": small}}},
            "deployment": {
                "template": {
                    "spec": {"optimize": {"targets": ["onnx"], "resources": small}, "server": {"resources": small}}
                }
            },
        },
    }
    return json.dumps(body)
