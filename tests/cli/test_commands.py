"""The command line: every command is found by its name, also one that has commands of its own."""

import pytest

from genops.__main__ import main
from genops.cli.commands import COMMANDS, parser


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert command in capsys.readouterr().out


def test_a_command_of_a_command_is_not_taken_for_one_of_ours() -> None:
    parsed = parser("genops", ["local"]).parse_args(["local", "status"])
    assert (parsed.topic, parsed.command) == ("local", "status")
