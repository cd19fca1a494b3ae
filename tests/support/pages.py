"""Pages of docs/ as programs: their shell blocks in order, their manifests, and a shell that runs a page as written.

Must not know any page.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block, with the line of the page where it begins."""

    language: str
    text: str
    line: int


def blocks(page: Path, language: str) -> list[Block]:
    """Read the blocks of one language, in order."""
    text = page.read_text(encoding="utf-8")
    found = (Block(m[2], m[3], text.count("\n", 0, m.start()) + 1) for m in _BLOCK.finditer(text))
    return [block for block in found if block.language == language]


def manifests(page: Path) -> list[dict[str, Any]]:
    """Read the objects that a page shows: YAML blocks that name a kind, and those that a shell block hands to kubectl."""
    typed = [
        m[1]
        for block in blocks(page, "sh")
        for m in re.finditer(r"kubectl apply[^\n]*<<'?EOF'?\n(.*?)^EOF$", block.text, re.M | re.S)
    ]
    shown = [block.text for block in blocks(page, "yaml")]
    documents = [d for text in (*shown, *typed) for d in yaml.safe_load_all(text)]
    return [d for d in documents if isinstance(d, dict) and "kind" in d]


def script(page: Path) -> str:
    """Join the shell blocks of a page into one script that stops at the first error and says which line it was."""
    said = "trap 'echo \"stopped at: $BASH_COMMAND\" >&2' ERR\n"
    return "set -Eeuo pipefail\n" + said + "\n".join(f"# line {b.line}\n{b.text}" for b in blocks(page, "sh"))


def run(page: Path, seconds: float, **env: str) -> str:
    """Run a page in the work tree by bash, and return all that it printed. Raises AssertionError where it stops."""
    done = subprocess.run(
        ["bash", "-x", "-c", script(page)],
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{page.relative_to(ROOT)} ended by {done.returncode}:\n{done.stdout[-5000:]}"
    return done.stdout
