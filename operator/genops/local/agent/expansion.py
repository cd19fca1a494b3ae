"""`$(VAR)` references in commands, arguments and variables. Pure."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` where NAME is known, leave it as it is where not; `$$` stands for one `$`."""
    return _REFERENCE.sub(lambda match: _value(match, variables), text)


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    return variables.get(match[1], match[0])
