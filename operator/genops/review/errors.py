"""What a person is told when judging cannot go on."""


class ReviewError(Exception):
    """Something is in the way; the message says what, and what to do. `status` is the HTTP code that fits."""

    def __init__(self, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.status = status
