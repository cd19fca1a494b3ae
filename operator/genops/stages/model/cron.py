"""When a cron line of five fields is due next, in UTC. Pure; knows nothing of what is started then."""

from datetime import datetime, time, timedelta

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("weekday", 0, 7, DAYS),
)
HORIZON = 366 * 8  # days: 29 February comes again within them


def next_after(line: str, moment: datetime) -> datetime:
    """Find the first minute after a moment; ValueError says what is wrong with a line that has none."""
    texts = line.split()
    minutes, hours, days, months, weekdays = (_field(t, *f) for t, f in zip(texts, FIELDS, strict=True))
    either = not texts[2].startswith("*") and not texts[4].startswith("*")  # both are named: one of them is enough
    for ahead in range(HORIZON):
        date = (moment + timedelta(days=ahead)).date()
        matches = (date.day in days, date.isoweekday() % 7 in {d % 7 for d in weekdays})
        if date.month not in months or not (any(matches) if either else all(matches)):
            continue
        times = (time(h, m, tzinfo=moment.tzinfo) for h in sorted(hours) for m in sorted(minutes))
        found = next((t for t in (datetime.combine(date, t) for t in times) if t > moment), None)
        if found:
            return found
    raise ValueError(f"{line!r} names a day that never comes")


def _field(text: str, name: str, low: int, high: int, words: tuple[str, ...]) -> set[int]:
    return {n for part in text.split(",") for n in _part(part, name, low, high, words)}


def _part(text: str, name: str, low: int, high: int, words: tuple[str, ...]) -> range:
    span, slash, step = text.partition("/")
    first, dash, last = span.partition("-")
    try:
        start = low if first == "*" else _number(first, words)
        end = _number(last, words) if dash else high if first == "*" or slash else start
        every = int(step) if slash else 1
    except ValueError:
        raise ValueError(f"{name} {text!r} is not a number, a range or a step") from None
    if not low <= start <= end <= high or every < 1:
        raise ValueError(f"{name} {text!r} is not within {low}-{high}")
    return range(start, end + 1, every)


def _number(text: str, words: tuple[str, ...]) -> int:
    return words.index(text.lower()) if text and text.lower() in words else int(text)
