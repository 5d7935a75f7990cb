"""The page about proofs: its commands run in order as printed, and its tables are what the code has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaindp.chain.airs.catalogue import AIRS
from chaindp.cli.prove import prove
from conftest import REPOSITORY
from plugin_site import chaindp

PAGE = REPOSITORY / "docs" / "proofs.md"


def commands() -> list[tuple[list[str], int]]:
    """Arguments of each command, and the exit status that it has to have."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            command, _, comment = line.removeprefix("$ ").partition("  # ")
            status = re.fullmatch(r"exit status (\d+)", comment)
            found.append((shlex.split(command)[1:], int(status[1]) if status else 0))
    return found


def test_the_commands_run_as_printed(tmp_path: Path) -> None:
    assert len(commands()) >= 5
    for arguments, status in commands():
        done = chaindp(*arguments, cwd=tmp_path)
        assert done.returncode == status, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
    written = {"poseidon2.proof", "credential.proof", "credentials.proof", "keccak.proof", "transfers.proof"}
    assert {path.name for path in tmp_path.glob("*.proof")} == written


def test_every_air_and_every_option_is_on_the_page() -> None:
    text = PAGE.read_text()
    assert set(prove.commands) == set(AIRS)
    for name in AIRS:
        assert f"| `{name}` |" in text
    for option in ("--log-blowup", "--queries", "--grinding", "--log-folding", "--log-final", "--hiding", "--hash"):
        assert f"`{option}`" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["poseidon2", "--permutations", "100"], "100 permutations are not 8 (in a row) times a power of two"),
        (["poseidon2", "--lanes", "17"], "17"),
        (["poseidon2", "--field", "goldilocks"], "field 'goldilocks' is unknown"),
        (["poseidon2", "--queries", "0"], "queries is 0, expected 1 to 1024"),
        (["poseidon2", "--out", "/nowhere/at/all"], "cannot write /nowhere/at/all: No such file"),
        (["keccak", "--permutations", "131073"], "131072"),
        (["keccak", "--lanes", "4"], "4"),
        (["keccak", "--field", "goldilocks"], "field 'goldilocks' is unknown"),
        (["transfers", "--transfers", "123362"], "123362 transfers in a tree of 16 levels, expected 1 to 123361"),
        (["transfers", "--depth", "61"], "61"),
        (["transfers", "--field", "goldilocks"], "field 'goldilocks' is unknown"),
        (["credential", "--allowed", "1,,2"], "expected 1 to 8 numbers"),
        (["credential", "--allowed", "1,2,3,4,5,6,7,8,9"], "expected 1 to 8 numbers"),
        (["credential", "--log-blowup", "9"], "log_blowup is 9, expected 1 to 6"),
        (["credentials", "--allowed", ""], "expected 1 to 8 numbers"),
        (["credentials", "--count", "0"], "0 is not in the range"),
        (["credentials", "--queries", "0"], "queries is 0, expected 1 to 1024"),
        ([], "say what to prove: poseidon2, credential, keccak, transfers, credentials"),
    ],
)
def test_a_wrong_call_is_one_line(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(prove, arguments)
    assert done.exit_code != 0
    assert message in done.output + str(done.exception)
    assert not (REPOSITORY / "poseidon2.proof").exists()
