"""Which report shows an object's samples, and how it is fetched."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from towns import REPORT, SPACE, WEIGHTS, idea_rejected, passed, trained

from gencontract.wire import canonical
from genops.cli.reach import OutOfReach
from genops.cli.store import _by_url, _check, _files
from genops.cli.story.errors import Nothing
from genops.cli.story.exhibits import READER, Exhibit, exhibit, reader
from genops.core.kinds import GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB, JOB, Kind
from genops.core.model import Key

EVALUATION = Key(GEN_EVALUATION, SPACE, "digits")


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def report(folder: Path) -> Exhibit:
    """A report as the trainers write it."""
    picture = bytes(range(256)) * 40
    (folder / "samples.png").write_bytes(picture)
    files = [{"path": "samples.png", "bytes": len(picture), "sha256": digest(picture)}]
    manifest = canonical({"kind": "report", "files": files, "body": {}})
    (folder / "manifest.json").write_bytes(manifest)
    return Exhibit(EVALUATION, folder.as_uri(), digest(manifest))


@pytest.mark.parametrize("kind", [GEN_EVALUATION, GEN_TRAINING_JOB], ids=str)
async def test_a_report_is_found_from_what_it_is_about(kind: Kind) -> None:
    found = exhibit(Key(kind, SPACE, "digits"), (await passed()).world())
    assert found == Exhibit(EVALUATION, "pvc://genops-store/report", REPORT)


async def test_a_deployment_shows_what_it_serves() -> None:
    town = await passed()
    town.cluster.set_status(Key(GEN_DEPLOYMENT, SPACE, "digits"), {"stable": {"digest": WEIGHTS}})
    assert exhibit(Key(GEN_DEPLOYMENT, SPACE, "digits"), town.world()).evaluation == EVALUATION


async def test_a_model_shows_its_newest_run() -> None:
    found = exhibit(Key(GEN_MODEL, SPACE, "digits"), (await idea_rejected()).world())
    assert found.evaluation.name == "digits-1"


async def test_without_a_report_it_is_said_where_it_stands() -> None:
    town = await trained()
    with pytest.raises(
        Nothing, match="No GenEvaluation has a report about what GenTrainingJob/digits makes; it is Succ"
    ):
        exhibit(Key(GEN_TRAINING_JOB, SPACE, "digits"), town.world())


async def test_the_pod_that_reads_is_like_the_pod_that_wrote() -> None:
    town = await passed()
    found = exhibit(EVALUATION, town.world())
    pod = reader(found, town.world(), ["samples.png"])
    container = pod["spec"]["containers"][0]
    assert container["image"] == "genops-trainers:latest"
    assert container["command"][-2:] == ["/genops/store/genops-store/report", "samples.png"]
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "genops-store", "readOnly": True}
    town.cluster.remove(Key(JOB, SPACE, town.job_of(GEN_EVALUATION, "digits")["metadata"]["name"]))
    with pytest.raises(Nothing, match="name one that has Python with --image"):
        reader(found, town.world(), ["samples.png"])
    assert reader(found, town.world(), [], "mine:1")["spec"]["containers"][0]["image"] == "mine:1"


def printed(folder: Path, *names: str) -> list[str]:
    command = [sys.executable, "-S", "-c", READER, str(folder), *names]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_what_the_pod_prints_comes_back_byte_by_byte(tmp_path: Path) -> None:
    found = report(tmp_path)
    lines = printed(tmp_path, "manifest.json", "samples.png")
    assert max(map(len, lines)) < 16_000, "the container runtime cuts longer lines"
    files = _files(lines)
    _check(found, "samples.png", files)
    assert files["samples.png"] == (tmp_path / "samples.png").read_bytes()
    with pytest.raises(OutOfReach, match="is not whole"):
        _files(lines[:-1])


def test_a_file_that_is_not_there_is_said_with_those_that_are(tmp_path: Path) -> None:
    report(tmp_path)
    with pytest.raises(Nothing, match=r"has no real.png; it has manifest.json, samples.png: choose by --what"):
        _files(printed(tmp_path, "manifest.json", "real.png"))


def test_what_was_changed_is_refused(tmp_path: Path) -> None:
    found = report(tmp_path)
    files = _by_url(found, ["manifest.json", "samples.png"])
    _check(found, "samples.png", files)
    with pytest.raises(OutOfReach, match=r"samples.png is not the file that manifest.json names"):
        _check(found, "samples.png", {**files, "samples.png": b"other"})
    forged = json.dumps({"files": []}).encode()
    with pytest.raises(OutOfReach, match="the status names sha256:"):
        _check(found, "samples.png", {**files, "manifest.json": forged})


def test_a_store_that_cannot_be_reached_says_how(tmp_path: Path) -> None:
    with pytest.raises(Nothing, match="has no manifest"):
        _by_url(Exhibit(EVALUATION, tmp_path.as_uri(), ""), ["manifest.json"])
    with pytest.raises(OutOfReach, match="nowhere://x cannot be read from here: ValueError"):
        _by_url(Exhibit(EVALUATION, "nowhere://x", ""), ["manifest.json"])
