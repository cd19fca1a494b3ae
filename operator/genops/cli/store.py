"""Fetch files of a report from where artifacts are kept: a claim, through a pod for a moment; or a URL, from here.

Every file is checked against the manifest, and the manifest against the digest that the status names. It must not
know what is in the files.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterable

from gencontract.layout import MANIFEST
from genops.cli.reach import OutOfReach, Reach
from genops.cli.story.errors import Nothing
from genops.cli.story.exhibits import DEADLINE, Exhibit, reader
from genops.cli.story.world import World
from genops.core.kinds import POD
from genops.core.model import Manifest
from genops.shell.errors import ApiError
from genops.shell.pods import pod_seen

POLL_SECONDS = 0.3


async def fetch(reach: Reach, world: World, of: Exhibit, name: str, image: str = "") -> bytes:
    """Fetch one file of a report. Raises Nothing where the report has none of that name, OutOfReach with the way."""
    wanted = [MANIFEST, name]
    files = (
        await _by_pod(reach, reader(of, world, wanted, image)) if of.uri.startswith("pvc://") else _by_url(of, wanted)
    )
    _check(of, name, files)
    return files[name]


def _check(of: Exhibit, name: str, files: dict[str, bytes]) -> None:
    """Refuse what is not what the evaluation wrote."""
    manifest = files[MANIFEST]
    if of.digest and _sha256(manifest) != of.digest:
        raise OutOfReach(
            f"{of.uri}/{MANIFEST} has digest {_sha256(manifest)}, the status names {of.digest}: it was changed"
        )
    listed = {f["path"]: f["sha256"] for f in json.loads(manifest)["files"]}
    if listed.get(name) != _sha256(files[name]):
        raise OutOfReach(f"{of.uri}/{name} is not the file that {MANIFEST} names: it was changed")


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def _by_pod(reach: Reach, manifest: Manifest) -> dict[str, bytes]:
    try:
        made = await reach.cluster.create(POD, manifest)
    except ApiError as error:
        if not error.refused:
            raise
        claim = manifest["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
        text = f"The report lies on claim {claim}, which only a pod reaches, and none may be made: {error.message}"
        raise OutOfReach(f"{text}; ask for the right to create pods, or mount the claim in a pod of yours") from None
    meta = made["metadata"]
    try:
        await _ended(reach, meta["name"])
        return _files([line async for line in reach.log(meta["name"], {})])
    finally:
        await reach.cluster.delete(POD, meta["namespace"], meta["name"], meta["uid"])


async def _ended(reach: Reach, pod: str) -> None:
    """Wait until the pod has printed all. Raises OutOfReach with what keeps it."""
    seen = None
    for _ in range(int(DEADLINE / POLL_SECONDS)):
        manifest = await reach.cluster.get(POD, reach.namespace, pod)
        seen = pod_seen(manifest) if manifest else seen
        if seen and seen.phase == "Succeeded":
            return
        if seen is None or seen.phase == "Failed":
            break
        await asyncio.sleep(POLL_SECONDS)
    why = (seen.waiting or seen.unschedulable or f"it is {seen.phase}") if seen else "it has gone"
    raise OutOfReach(
        f"Pod {pod}, which was to read the report, did not come to an end: {why}; name another with --image"
    )


def _files(lines: Iterable[str]) -> dict[str, bytes]:
    """Read what the pod printed. Raises Nothing where it lacked a file, OutOfReach where the log is not whole."""
    texts: dict[str, list[str]] = {}
    name, whole = "", False
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "missing":
            lacking, *there = rest.split(" ")
            raise Nothing(
                f"The report has no {lacking}; it has {', '.join(there) or 'no files any more'}: choose by --what"
            )
        if word == "file":
            name = rest
            texts[name] = []
        elif word == "part":
            texts[name].append(rest)
        whole = word == "end"
    if not whole:
        raise OutOfReach("The log of the pod that read the report is not whole; try again")
    return {name: base64.b64decode("".join(parts)) for name, parts in texts.items()}


def _by_url(of: Exhibit, names: Iterable[str]) -> dict[str, bytes]:
    try:
        import fsspec
    except ImportError:
        raise OutOfReach(
            f"{of.uri} is read by fsspec: pip install 'genops[trainers]', or get it by the store's own program"
        ) from None
    found = {}
    for name in names:
        try:
            with fsspec.open(f"{of.uri}/{name}", "rb") as file:
                found[name] = bytes(file.read())
        except FileNotFoundError:
            raise Nothing(f"{of.uri} has no {name}: choose another by --what") from None
        except Exception as error:  # whatever the store's own library raises
            text = f"{of.uri} cannot be read from here: {type(error).__name__}: {error}"
            raise OutOfReach(f"{text}; give this machine the store's address and credentials") from None
    return found
