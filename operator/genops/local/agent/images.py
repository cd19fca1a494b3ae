"""Images are names only: the node runs what is installed. Which names count as not to be had, and whose venv to use."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"^[a-z0-9]+([._:/-]+[a-zA-Z0-9_]+)*(@sha256:[a-f0-9]{64})?$")


def malformed(image: str) -> bool:
    """Say whether a name could be no image at all."""
    return not _REFERENCE.match(image)


def unavailable(image: str) -> bool:
    """Say whether an image counts as one that cannot be pulled: a host ending in `invalid`, or the tag `missing`."""
    host, slash, _ = image.partition("/")
    name = image.rpartition("/")[2].partition("@")[0]
    host = host.partition(":")[0] if slash else ""
    return host == "invalid" or host.endswith(".invalid") or name.partition(":")[2] == "missing"


def environment_of(image: str, environments: Mapping[str, str], default: str) -> str:
    """Return the virtual environment whose programs come first: that of the longest prefix that fits."""
    fitting = [prefix for prefix in environments if image.startswith(prefix)]
    return environments[max(fitting, key=len)] if fitting else default
