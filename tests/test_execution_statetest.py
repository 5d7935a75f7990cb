"""The official state tests: some folders always, all in the slow run; and files that are not what they claim."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from chaindp.chain.execution.statetest import verify_statetest
from chaindp.errors import InputError
from execution_world import cpu_kernels

# Folder to (passed, skipped): a change of either is a change of what the engine can do.
FAST = {
    "Cancun/stEIP1153-transientStorage": (52, 0),
    "Cancun/stEIP5656-MCOPY": (112, 0),
    "Shanghai/stEIP3651-warmcoinbase": (12, 0),
    "Shanghai/stEIP3860-limitmeterinitcode": (6, 0),
    "stEIP2930": (140, 0),
    "stExample": (37, 2),
    "stSelfBalance": (42, 0),
    "stSStoreTest": (471, 4),
    "stTransactionTest": (260, 0),
    "stZeroCallsTest": (24, 0),
}


@pytest.fixture(scope="module")
def archive(data_dir: Path) -> Path:
    path = data_dir / "ethereum-tests" / "GeneralStateTests.tar.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("statetests")
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix("./").removeprefix("GeneralStateTests/")
            file = tar.extractfile(member) if member.isfile() and name.rpartition("/")[0] in FAST else None
            if file is not None:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read())
    return folder


@pytest.mark.parametrize("folder", FAST)
def test_folder(unpacked: Path, folder: str) -> None:
    result = verify_statetest(unpacked / folder, cpu_kernels())
    assert result.failures == []
    assert (result.passed, result.skipped) == FAST[folder]


@pytest.mark.slow
def test_all(archive: Path) -> None:
    result = verify_statetest(archive, cpu_kernels())
    assert result.failures == []
    assert result.passed == 6930
    reasons = Counter(
        next(word for word in ("BASEFEE", "EIP-7610", "type 3") if word in skip["reason"]) for skip in result.skips
    )
    assert reasons == {"BASEFEE": 68, "EIP-7610": 10, "type 3": 7}


# The first case of stExample/add11: PUSH 1, PUSH 1, ADD, SSTORE (ethereum/tests, MIT).
def example(unpacked: Path) -> dict[str, dict[str, object]]:
    return json.loads((unpacked / "stExample" / "add11.json").read_bytes())  # type: ignore[no-any-return]


@pytest.mark.parametrize("what", ["root", "logs", "expectation", "balance"])
def test_a_wrong_expectation_fails(unpacked: Path, tmp_path: Path, what: str) -> None:
    tests = example(unpacked)
    test = next(iter(tests.values()))
    post = test["post"]["Cancun"][0]  # type: ignore[index]
    if what == "root":
        post["hash"] = "0x" + "00" * 32
    elif what == "logs":
        post["logs"] = "0x" + "00" * 32
    elif what == "expectation":
        post["expectException"] = "TransactionException.NONCE_IS_MAX"
    else:
        next(iter(test["pre"].values()))["balance"] = "0x01"  # type: ignore[attr-defined]
    path = tmp_path / "test.json"
    path.write_text(json.dumps(tests))
    result = verify_statetest(path, cpu_kernels())
    assert (result.passed, result.failed) == (0, 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda test: test.pop("env"),
        lambda test: test["env"].update(currentBaseFee="ten"),
        lambda test: test["env"].update(currentCoinbase="0x12"),
        lambda test: test["transaction"].update(sender=5),
        lambda test: test["post"].update(Cancun={"a": 1}),
        lambda test: test["post"]["Cancun"].__setitem__(0, 7),
        lambda test: test["post"]["Cancun"][0].update(hash="0x1234"),
        lambda test: test.update(pre={"0x12": {}}),
        lambda test: test.update(pre={"0x" + "12" * 20: {"nonce": "0x" + "f" * 99}}),
        lambda test: test.update(pre={"0x" + "12" * 20: {"storage": {"0x1": "0x" + "f" * 65}}}),
    ],
)
def test_malformed_tests_are_one_line(unpacked: Path, tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    tests = example(unpacked)
    damage(next(iter(tests.values())))
    path = tmp_path / "test.json"
    path.write_text(json.dumps(tests))
    with pytest.raises(InputError) as caught:
        verify_statetest(path, cpu_kernels())
    assert "\n" not in str(caught.value)
    assert "test.json" in str(caught.value)


def test_a_file_without_the_fork_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"old": {"post": {"London": []}}}))
    result = verify_statetest(path, cpu_kernels())
    assert (result.passed, result.skipped, result.skips[0]["reason"]) == (0, 1, "has no results for Cancun")


def test_a_damaged_archive_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "tests.tar.gz"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("empty.json"))
    path.write_bytes(buffer.getvalue()[:-12])
    with pytest.raises(InputError):
        verify_statetest(path, cpu_kernels())
