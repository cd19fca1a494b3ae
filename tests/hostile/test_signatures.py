"""Signed where it is made, checked where it is used: whatever is changed, added, moved or made by others is refused.

Digests are made right again after each change, as somebody could who may write to the store and to a status.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from trainer_worlds import IMAGES

from gencontract.codes import TABLE, Code, Retry
from gencontract.layout import ENV_SIGNING_KEY, ENV_VERIFYING_KEY, SIGNATURE
from gentrainers import artifact, model
from gentrainers.errors import JobError
from gentrainers.families import configure, family


def keys(folder: Path, name: str) -> tuple[str, str]:
    """Make a pair of keys; return the paths of the private and the public one."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / f"{name}.pem").write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public = private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return str(folder / f"{name}.pem"), str(folder / f"{name}.pub")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a signed model, another signed by the same key, one signed by a stranger, and one that nobody signed."""
    store = tmp_path_factory.mktemp("store")
    ours, theirs = keys(store, "ours"), keys(store, "theirs")
    for name, key in (("model", ours[0]), ("older", ours[0]), ("foreign", theirs[0]), ("unsigned", None)):
        with pytest.MonkeyPatch.context() as patch:
            if key:
                patch.setenv(ENV_SIGNING_KEY, key)
            write(store / name, width=8 if name != "older" else 16)
    return store


def write(place: Path, width: int) -> None:
    kind = family("flow")
    dials = {"width": width, "depth": 1}
    body = {"family": "flow", "size": "xs", "config": dials, "data": vars(IMAGES)}
    with artifact.writing(str(place), "model", body) as folder:
        model.save(folder, kind(configure(kind, "xs", dials), IMAGES).build(), [])


@pytest.fixture
def copied(signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the store to spoil, in a pod that asks for our signature."""
    monkeypatch.setenv(ENV_VERIFYING_KEY, str(signed / "ours.pub"))
    return shutil.copytree(signed, tmp_path / "store")


def resealed(place: Path) -> None:
    manifest = json.loads((place / "manifest.json").read_bytes())
    (place / "manifest.json").unlink()
    artifact.seal(place, manifest["kind"], manifest["body"])


def flipped(store: Path) -> None:
    data = bytearray((store / "model" / model.WEIGHTS).read_bytes())
    data[-1] ^= 1
    (store / "model" / model.WEIGHTS).write_bytes(data)
    resealed(store / "model")


def added(store: Path) -> None:
    (store / "model" / "numpy.py").write_text("evil = 1")
    resealed(store / "model")


def renamed(store: Path) -> None:
    (store / "model" / "history.jsonl").rename(store / "model" / "story.jsonl")
    resealed(store / "model")


def removed(store: Path) -> None:
    (store / "model" / "history.jsonl").unlink()
    resealed(store / "model")


def exchanged(store: Path) -> None:
    shutil.copy(store / "older" / SIGNATURE, store / "model" / SIGNATURE)


def by_a_stranger(store: Path) -> None:
    shutil.rmtree(store / "model")
    (store / "foreign").rename(store / "model")


def by_nobody(store: Path) -> None:
    shutil.rmtree(store / "model")
    (store / "unsigned").rename(store / "model")


def emptied(store: Path) -> None:
    (store / "model" / SIGNATURE).write_bytes(b"")


def garbled(store: Path) -> None:
    text = (store / "model" / SIGNATURE).read_text()
    bundle = json.loads(text)
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = "AAAA"
    (store / "model" / SIGNATURE).write_text(json.dumps(bundle))


def a_link(store: Path) -> None:
    (store / "model" / SIGNATURE).unlink()
    (store / "model" / SIGNATURE).symlink_to(store / "nothing")


SPOILED: dict[Callable[[Path], None], str] = {
    flipped: model.WEIGHTS,
    added: "numpy.py",
    renamed: "story.jsonl",
    removed: "history.jsonl",
    exchanged: SIGNATURE,
    by_a_stranger: SIGNATURE,
    by_nobody: SIGNATURE,
    emptied: SIGNATURE,
    garbled: SIGNATURE,
    a_link: SIGNATURE,
}


@pytest.mark.parametrize(("spoil", "names"), SPOILED.items(), ids=[f.__name__ for f in SPOILED])
def test_what_our_key_did_not_sign_is_refused_and_named(
    spoil: Callable[[Path], None], names: str, copied: Path
) -> None:
    spoil(copied)
    with pytest.raises(JobError) as caught:
        model.load(str(copied / "model"))
    assert caught.value.code is Code.BAD_SIGNATURE
    assert names in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_honest_model_opens_wherever_it_is_moved(copied: Path) -> None:
    (copied / "model").rename(copied / "moved")
    assert model.load(str(copied / "moved")).family == "flow"


def test_an_older_model_of_ours_is_stopped_by_its_digest(copied: Path) -> None:
    """A signature says who, not which: the digest of the task says which."""
    digest = artifact.digest_of(str(copied / "model"))
    assert model.load(str(copied / "older")).family == "flow"
    with pytest.raises(JobError) as caught:
        model.load(str(copied / "older"), digest)
    assert caught.value.code is Code.DIGEST_MISMATCH


def test_signing_moves_no_digest(signed: Path) -> None:
    """Who does not ask for signatures sees the same artifact: the signature stands beside the manifest, not in it."""
    listed = {f["path"] for f in json.loads((signed / "model" / "manifest.json").read_bytes())["files"]}
    assert listed == {model.WEIGHTS, "history.jsonl"}
    assert model.load(str(signed / "model"), artifact.digest_of(str(signed / "model"))).family == "flow"


def test_the_program_of_openssf_agrees(signed: Path) -> None:
    """Anybody can check what we signed, by a program that is not ours."""
    place = signed / "model"
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(place), "--no-ignore-git-paths"]
    command += ["--signature", str(place / SIGNATURE), "--public_key", str(signed / "ours.pub")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("variable", [ENV_SIGNING_KEY, ENV_VERIFYING_KEY])
@pytest.mark.parametrize("kind", ["missing", "garbage", "empty", "another curve"])
def test_a_key_that_is_none_is_named(
    variable: str, kind: str, signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    if kind == "another curve":
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        other = ed25519.Ed25519PrivateKey.generate()
        path.write_bytes(other.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    elif kind != "missing":
        path.write_bytes(b"" if kind == "empty" else os.urandom(64))
    monkeypatch.setenv(variable, str(path))
    uses = {
        ENV_SIGNING_KEY: lambda: write(tmp_path / "model", width=8),
        ENV_VERIFYING_KEY: lambda: model.load(str(signed / "model")),
    }
    with pytest.raises(JobError, match=variable) as caught:
        uses[variable]()
    assert caught.value.code is Code.BAD_CONFIG
    assert not (tmp_path / "model").exists()


def test_a_bad_signature_is_not_tried_again() -> None:
    assert TABLE[Code.BAD_SIGNATURE].retry is Retry.NEVER
