"""Sign a model or an engine where it is made, and check who signed it before it is used: OpenSSF model signing, by key.

A digest says that nothing changed since it was written down; a signature says that who made it held the key. Both are
asked for by the environment of the pod, so that no task, log or status ever names a key. No network is needed. Knows
folders, keys and one library; must not know what is signed.
"""

import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from gencontract.codes import Code
from gencontract.layout import ENV_SIGNING_KEY, ENV_VERIFYING_KEY, SIGNATURE
from gentrainers.errors import JobError

KINDS = ("model", "engine", "engines")  # of artifacts: what a pod loads and runs


def sign(folder: Path, kind: str) -> None:
    """Sign a sealed folder where a key is given. Raises JobError(BAD_CONFIG, UNSUPPORTED)."""
    key = os.environ.get(ENV_SIGNING_KEY)
    if not key or kind not in KINDS:
        return
    library = _library(ENV_SIGNING_KEY)
    signer = _with_key(library.signing.Config().use_elliptic_key_signer, "private_key", key, ENV_SIGNING_KEY)
    signer.set_hashing_config(_all_but_the_signature(library, folder)).sign(str(folder), str(folder / SIGNATURE))


def verify(folder: Path, kind: str, uri: str) -> None:
    """Check the signature of a folder where a key is given. Raises JobError(BAD_SIGNATURE) that names what differs."""
    key = os.environ.get(ENV_VERIFYING_KEY)
    if not key or kind not in KINDS:
        return
    library = _library(ENV_VERIFYING_KEY)
    verifier = _with_key(library.verifying.Config().use_elliptic_key_verifier, "public_key", key, ENV_VERIFYING_KEY)
    if not (folder / SIGNATURE).is_file():
        remedy = f"sign it where it is made ({ENV_SIGNING_KEY}), or do not ask for a signature"
        raise JobError(Code.BAD_SIGNATURE, f"{uri} has no {SIGNATURE}, and {ENV_VERIFYING_KEY} is set; {remedy}")
    try:
        checked = verifier.set_hashing_config(_all_but_the_signature(library, folder))
        checked.verify(folder, str(folder / SIGNATURE))
    except Exception as error:  # the library, and those below it, raise whatever a forged file made them stumble over
        why = _readable(str(error)) or "it was made by another key"
        raise JobError(Code.BAD_SIGNATURE, f"{uri}/{SIGNATURE} does not hold: {why}; make it again") from None


def _readable(text: str) -> str:
    """Keep what names files, leave out the raw bytes of digests."""
    named = re.sub(r": Expected .*?(?=[\"'](?:\]|, [\"']))", "", text, flags=re.DOTALL)
    return " ".join(named.split())[:300]


def _library(variable: str) -> Any:
    try:
        return import_module("model_signing")
    except ModuleNotFoundError as error:
        hint = "install the extra `signing` in this image, or leave the variable out"
        raise JobError(Code.UNSUPPORTED, f"{variable} is set and the package {error.name} is missing; {hint}") from None


def _with_key(use: Any, name: str, key: str, variable: str) -> Any:
    try:
        return use(**{name: key})
    except (OSError, ValueError, TypeError, AttributeError) as error:  # the last: a key of another kind
        wanted = f"a {name.replace('_', ' ')} of an elliptic curve in PEM"
        raise JobError(Code.BAD_CONFIG, f"{variable}={key!r} is not {wanted} ({error})") from None


def _all_but_the_signature(library: Any, folder: Path) -> Any:
    ignored = [folder / SIGNATURE]
    return library.hashing.Config().set_ignored_paths(paths=ignored, ignore_git_paths=False)
