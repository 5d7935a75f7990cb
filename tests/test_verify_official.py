"""The official trie and RLP tests from archives, directories and files; wrong ones fail, malformed ones are errors."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from pathlib import Path

import pytest

from chaindp.chain.verify import verify_rlptest, verify_trietest
from chaindp.chain.verify.result import find_files
from chaindp.errors import InputError
from codec_reference import reference_kernels

KERNELS = reference_kernels()

# ethereum/tests, TrieTests: trietest.json and trieanyorder.json
DOGS = {
    "in": {"doe": "reindeer", "dog": "puppy", "dogglesworth": "cat"},
    "root": "0x8aad789dff2f538bca5d8ea56e8abe10f4c7ba3a5dea95fea4cd6e7c3a1168d3",
}
EMPTY_VALUES = {
    "in": [
        ["do", "verb"], ["ether", "wookiedoo"], ["horse", "stallion"], ["shaman", "horse"],
        ["doge", "coin"], ["ether", None], ["dog", "puppy"], ["shaman", None],
    ],
    "root": "0x5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84",
}  # fmt: skip
SECURE_ROOT = "0x29b235a58c3c25ab83010c327d5932bcf05324b7d6b1185e650798034783ca9d"


def write(path, tests) -> str:
    path.write_text(json.dumps(tests))
    return str(path)


def archive(path, members) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def test_official_tries(data_dir):
    result = verify_trietest(data_dir / "ethereum-tests" / "TrieAndRLPTests.tar.gz", KERNELS)
    assert (result.passed, result.failed, result.failures) == (15, 0, [])
    assert result.ok


def test_official_rlp(data_dir):
    result = verify_rlptest(data_dir / "ethereum-tests" / "TrieAndRLPTests.tar.gz")
    assert (result.passed, result.failed, result.failures) == (55, 0, [])


def test_tries_in_and_out_of_order_and_secure(tmp_path):
    assert verify_trietest(write(tmp_path / "trieanyorder.json", {"dogs": DOGS}), KERNELS).passed == 1
    assert verify_trietest(write(tmp_path / "trietest.json", {"empty": EMPTY_VALUES}), KERNELS).passed == 1
    secure = write(tmp_path / "trietest_secureTrie.json", {"empty": EMPTY_VALUES | {"root": SECURE_ROOT}})
    assert verify_trietest(secure, KERNELS).passed == 1
    result = verify_trietest(tmp_path, KERNELS)
    assert (result.passed, result.failed) == (3, 0)


def test_a_wrong_root_fails_and_says_which(tmp_path):
    path = write(tmp_path / "t.json", {"dogs": DOGS, "wrong": DOGS | {"root": "0x" + "11" * 32}})
    result = verify_trietest(path, KERNELS)
    assert (result.passed, result.failed, result.ok) == (1, 1, False)
    assert result.failures[0]["file"] == path and result.failures[0]["test"] == "wrong"
    assert "8aad789d" in result.failures[0]["reason"] and "1111" in result.failures[0]["reason"]


def test_iteration_tests_are_skipped_with_a_reason(tmp_path):
    path = write(tmp_path / "trietestnextprev.json", {"basic": {"in": ["cat"], "tests": [["", "", "cat"]]}})
    result = verify_trietest(path, KERNELS)
    assert (result.passed, result.failed, result.skipped) == (0, 0, 1)
    assert "iteration" in result.skips[0]["reason"]


@pytest.mark.parametrize(
    "test",
    [
        {"in": {"a": "b"}},
        {"in": {"a": "b"}, "root": "0x12"},
        {"in": {"a": "b"}, "root": 5},
        {"in": {"a": 5}, "root": "0x" + "11" * 32},
        {"in": {"0x1": "b"}, "root": "0x" + "11" * 32},
        {"in": [["a"]], "root": "0x" + "11" * 32},
        {"in": [[None, "a"]], "root": "0x" + "11" * 32},
        {"in": "x", "root": "0x" + "11" * 32},
        {"root": "0x" + "11" * 32},
        [],
    ],
)
def test_malformed_trie_tests(tmp_path, test):
    with pytest.raises(InputError) as caught:
        verify_trietest(write(tmp_path / "t.json", {"name": test}), KERNELS)
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


def test_rlp_tests_that_hold(tmp_path):
    tests = {
        "list": {"in": ["zw", [4], 1], "out": "0xc6827a77c10401"},
        "big": {"in": "#83729609699884896815286331701780722", "out": "0x8f102030405060708090a0b0c0d0e0f2"},
        "valid": {"in": "VALID", "out": "c7c0c1c0c3c0c1c0"},
        "invalid": {"in": "INVALID", "out": "0x8100"},
        "empty": {"in": "INVALID", "out": ""},
    }
    result = verify_rlptest(write(tmp_path / "rlptest.json", tests))
    assert (result.passed, result.failed) == (5, 0)


@pytest.mark.parametrize(
    "test",
    [
        {"in": "dog", "out": "0x83646f68"},
        {"in": ["dog"], "out": "0x83646f67"},
        {"in": 5, "out": "0x8105"},
        {"in": "VALID", "out": "0x8105"},
        {"in": "INVALID", "out": "0x83646f67"},
        {"in": "dog", "out": "0x83646f6700"},
    ],
)
def test_rlp_tests_that_do_not_hold(tmp_path, test):
    result = verify_rlptest(write(tmp_path / "rlptest.json", {"bad": test}))
    assert (result.passed, result.failed) == (0, 1)
    assert result.failures[0]["test"] == "bad" and result.failures[0]["reason"]


@pytest.mark.parametrize(
    "test",
    [
        {"in": "dog"},
        {"out": "0x80"},
        {"in": "dog", "out": "0xz"},
        {"in": {"a": 1}, "out": "0x80"},
        {"in": -1, "out": "0x80"},
        "x",
    ],
)
def test_malformed_rlp_tests(tmp_path, test):
    with pytest.raises(InputError):
        verify_rlptest(write(tmp_path / "rlptest.json", {"bad": test}))


def test_archives_are_read_in_memory_and_by_folder(tmp_path):
    good = json.dumps({"dogs": DOGS}).encode()
    path = archive(
        tmp_path / "t.tar.gz",
        {"TrieTests/a.json": good, "../evil.json": good, "RLPTests/b.json": b"{", "TrieTests/LICENSE": b"x"},
    )
    assert verify_trietest(path, KERNELS).passed == 1
    assert not (tmp_path.parent / "evil.json").exists()
    with pytest.raises(InputError, match=r"RLPTests/b\.json: malformed JSON"):
        verify_rlptest(path)


def test_where_an_archive_lies_says_nothing_of_its_members(tmp_path):
    (tmp_path / "TrieTests").mkdir()
    members = {"TrieTests/a.json": json.dumps({"dogs": DOGS}).encode(), "RLPTests/b.json": b"{"}
    path = archive(tmp_path / "TrieTests" / "t.tar.gz", members)
    assert verify_trietest(path, KERNELS).passed == 1


def test_names_in_archives_stay_on_one_line(tmp_path):
    with pytest.raises(InputError) as caught:
        verify_rlptest(archive(tmp_path / "t.tar.gz", {"RLPTests/a\nb.json": b"{"}))
    assert "\n" not in str(caught.value)


def test_broken_archives(tmp_path):
    path = tmp_path / "t.tar.gz"
    good = json.dumps({"dogs": DOGS, "pad": DOGS | {"x": "".join(map(chr, range(32, 120))) * 500}}).encode()
    whole = Path(archive(path, {"TrieTests/a.json": good})).read_bytes()
    assert verify_trietest(path, KERNELS).passed == 2
    for broken in (
        b"",
        b"junk",
        whole[: len(whole) // 2],
        whole[:-1],
        whole[:20],
        whole[:-8] + bytes(8),
        b"\x1f\x8b" + bytes(30),
    ):
        path.write_bytes(broken)
        with pytest.raises(InputError) as caught:
            verify_trietest(path, KERNELS)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="No such file"):
        verify_trietest(tmp_path / "absent.tar.gz", KERNELS)
    with pytest.raises(InputError, match="no test file"):
        verify_trietest(archive(path, {"README": b"x"}), KERNELS)


def test_changed_archives_raise_input_errors_only(tmp_path):
    """Whatever one byte of the tar inside becomes, the archive is read or refused."""
    tar = gzip.decompress(
        Path(archive(tmp_path / "t.tar.gz", {"TrieTests/a.json": json.dumps({"dogs": DOGS}).encode()})).read_bytes()
    )
    generator = random.Random(3)
    for _ in range(300):
        at = generator.randrange(600)
        path = tmp_path / "changed.tar.gz"
        path.write_bytes(gzip.compress(tar[:at] + generator.randbytes(generator.randrange(1, 9)) + tar[at + 1 :], 1))
        try:
            verify_trietest(path, KERNELS)
        except InputError as error:
            message = str(error)
        else:
            message = ""
        assert "\n" not in message


def test_a_member_that_claims_to_be_huge_is_refused(tmp_path):
    path = tmp_path / "t.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("TrieTests/a.json")
        info.size = 1 << 40
        tar.fileobj.write(info.tobuf())
    with pytest.raises(InputError, match="at most"):
        verify_trietest(path, KERNELS)


def test_find_files_prefers_the_named_folder(tmp_path):
    for name in ("TrieTests/a.json", "other/b.json", "other/c.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}")
    assert [label for label, _ in find_files(tmp_path, "TrieTests")] == [str(tmp_path / "TrieTests" / "a.json")]
    assert len(list(find_files(tmp_path, "Absent"))) == 2
    assert len(list(find_files(tmp_path / "TrieTests", "TrieTests"))) == 1
