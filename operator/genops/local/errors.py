"""What can go wrong on the way to a running cluster. Each message says what is missing and how to get it."""


class LocalError(Exception):
    """`genops local` cannot go on; the message is meant for the person at the terminal."""


class MissingTool(LocalError):
    """A program that the machine lacks."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}\n  remedy: {remedy}")
