"""Find personal data in text by pattern and, where the kind has one, by checksum; redact, drop or flag.

A finding becomes its kind in square brackets, which no detector matches: redacting twice changes nothing. Detectors are
built to be right when they speak, not to find everything: names and addresses of people are not looked for. Must not
know where text comes from.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

# Characters of digits and of what people write between them.
EMAIL = r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"
NUMBER_START = r"(?<![\w.+/-])"
NUMBER_END = r"(?![\w-]|\.\d)"
# Groups of digits with one sign between: unambiguous, so that no text makes the search slow.
NUMBER = r"\+?\(?\d+\)?(?:(?:[ ./-]|(?<=\)))\(?\d+\)?)*"


@dataclass(frozen=True)
class Detector:
    """One kind of personal data. `accepts` judges what the pattern matched; `hint` must be there for it to be run."""

    kind: str
    pattern: re.Pattern[str]
    accepts: Callable[[str], bool]
    hint: str | None = None


def luhn(digits: str) -> bool:
    """Check the last digit of a card number (ISO/IEC 7812).

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def mod97(iban: str) -> bool:
    """Check the two check digits of an IBAN (ISO 13616).

    >>> mod97("GB82WEST12345698765432"), mod97("GB82WEST12345698765433")
    (True, False)
    """
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def _card(text: str) -> bool:
    digits = re.sub(r"[ -]", "", text)
    return 13 <= len(digits) <= 19 and digits[0] in "23456" and len(set(digits)) > 1 and luhn(digits)


def _iban(text: str) -> bool:
    joined = text.replace(" ", "")
    return 15 <= len(joined) <= 34 and mod97(joined)


def _address(text: str) -> bool:
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return False


def _phone(text: str) -> bool:
    """Accept an international number, one with an area code in brackets, or 10 to 11 digits in three groups or more."""
    digits = re.sub(r"\D", "", text)
    if text.startswith("+") or (text.startswith("00") and digits[2:3] != "0" and len(digits) > 8):
        return 8 <= len(digits) <= 16
    groups = [len(g) for g in re.findall(r"\d+", text)]
    bracketed = text.startswith("(") and len(digits) >= 7
    return len(digits) <= 11 and (bracketed or (len(digits) >= 10 and len(groups) >= 3 and min(groups) >= 2))


DETECTORS = (
    Detector(
        "EMAIL",
        re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"),
        lambda _: True,
        "@",
    ),
    Detector("IBAN", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _iban),
    Detector("CARD", re.compile(NUMBER_START + r"\d(?:[ -]?\d){12,18}" + NUMBER_END), _card),
    Detector("IP", re.compile(NUMBER_START + r"(?:\d{1,3}\.){3}\d{1,3}" + NUMBER_END), _address, "."),
    Detector("IP", re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])"), _address, ":"),
    Detector("PHONE", re.compile(NUMBER_START + NUMBER + NUMBER_END), _phone),
)
KINDS = tuple(dict.fromkeys(d.kind for d in DETECTORS))
_DIGIT = re.compile(r"\d")


def redact(text: str, counts: Counter[str] | None = None) -> str:
    """Replace each finding by its kind, such as [EMAIL], and count it.

    >>> redact("Write to ada@example.org or call +44 20 7946 0958.")
    'Write to [EMAIL] or call [PHONE].'
    """
    found = counts if counts is not None else Counter()
    if not _DIGIT.search(text) and "@" not in text and "::" not in text:
        return text
    # What a finding leaves behind may let another one be seen: go on until nothing changes.
    while (changed := _pass(text, found)) != text:
        text = changed
    return text


def _pass(text: str, counts: Counter[str]) -> str:
    for detector in DETECTORS:
        if detector.hint is None or detector.hint in text:
            text = detector.pattern.sub(lambda m, d=detector: _replace(m[0], d, counts), text)  # type: ignore[misc]
    return text


def _replace(match: str, detector: Detector, counts: Counter[str]) -> str:
    if not detector.accepts(match):
        return match
    counts[detector.kind] += 1
    return f"[{detector.kind}]"


def find(text: str) -> Counter[str]:
    """Count findings by kind.

    >>> dict(find("card 4111 1111 1111 1111, host 192.168.0.1"))
    {'CARD': 1, 'IP': 1}
    """
    counts: Counter[str] = Counter()
    redact(text, counts)
    return counts
