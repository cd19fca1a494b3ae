"""Why a command has nothing to tell. The message is for people, and is all that is printed."""


class Misnamed(ValueError):
    """An object was named in a way that fits none or several; the message says what would fit."""


class Nothing(Exception):
    """There is no such object, or nothing of it to show or to do; the message says why."""
