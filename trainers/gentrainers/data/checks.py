"""Judge a prepared set before it is written: one rule per kind of check. Numbers in, verdicts out, nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gencontract.report import CheckReport
from gencontract.task import Check


@dataclass
class Findings:
    """What preparation counted. `rejected` counts by reason, `classes` are the sizes of the classes that were kept."""

    read: int = 0  # samples and files that were looked at, refused ones included
    kept: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    exact: int = 0
    near: int = 0
    personal: int = 0  # kept samples that still hold personal data
    overlap: int = 0  # held-out samples that have a (near-)duplicate in train
    held_out: int = 0
    classes: list[int] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)  # the first refusal of each reason

    def reject(self, reason: str, example: str) -> None:
        """Count one refusal; keep the first example in sorted order, whatever order they come in."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        self.examples[reason] = min(self.examples.get(reason, example), example)

    def share(self, count: int) -> float:
        """Return a count as a share of what was read."""
        return count / self.read if self.read else 0.0


@dataclass(frozen=True)
class Rule:
    """How one kind is measured, and what passes: at most, or at least, the threshold."""

    value: Callable[[Findings], float]
    threshold: float
    says: str
    at_least: bool = False


def _refused(reason: str) -> Callable[[Findings], float]:
    return lambda f: f.share(f.rejected.get(reason, 0))


def _balance(found: Findings) -> float:
    largest = max(found.classes, default=0)
    return min(found.classes) / largest if largest else 1.0


RULES: Mapping[str, Rule] = {
    "rows": Rule(lambda f: f.kept, 1, "samples are left", at_least=True),
    "schema": Rule(_refused("schema"), 0, "of the rows do not fit the schema"),
    "duplicates": Rule(lambda f: f.share(f.exact + f.near), 0.1, "of the samples were duplicates"),
    "pii": Rule(lambda f: f.personal / max(f.kept, 1), 0, "of the samples hold personal data"),
    "license": Rule(_refused("license"), 0, "of the samples have no allowed licence"),
    "decodable": Rule(_refused("decodable"), 0, "of the files cannot be read"),
    "overlap": Rule(lambda f: f.overlap / max(f.held_out, 1), 0, "of the held-out samples have a copy in train"),
    "balance": Rule(_balance, 0.1, "is the smallest class over the largest", at_least=True),
}


def judge(check: Check, found: Findings) -> CheckReport:
    """Apply one check."""
    rule = RULES[check.kind]
    threshold = rule.threshold if check.threshold is None else check.threshold
    value = float(rule.value(found))
    passed = value >= threshold if rule.at_least else value <= threshold
    bound = "at least" if rule.at_least else "at most"
    message = f"{value:.4g} {rule.says}, {bound} {threshold:.4g} is asked"
    if not passed and check.kind in found.examples:
        message += f"; first: {found.examples[check.kind]}"
    return CheckReport(name=check.name, passed=passed, action=check.action, value=round(value, 6), message=message)


def tolerates(checks: list[Check], kind: str) -> bool:
    """Say whether refusals of a kind are counted by a check; without one, the first refusal ends the job."""
    return any(check.kind == kind for check in checks)
