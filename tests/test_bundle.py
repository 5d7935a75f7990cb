"""Bundles: the same bytes from the same run, and not one bit believed that was not verified."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp import cli
from chaindp.errors import CheckFailed, InputError, UsageError
from chaindp.results import bundle as module
from chaindp.results.bundle import open_bundle, seal_run, unpack_bundle, write_bundle
from chaindp.results.store import load, write_run
from chaindp.results.table import SampleTable
from conftest import REPOSITORY

RUN_ID = "20260102T030405000006-0a1b2c"
CONFIG = {"kernels": ["keccak256"], "backends": ["cpu"], "sizes": [64], "repeat": 3, "threads": 1, "seed": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = SampleTable(RUN_ID)
    table.extend(3, metric="compute_time", kernel="keccak256", workload="keccak256/64", value=[1.0, 2.0, 3.0])
    run = {"run_id": RUN_ID, "kind": "bench", "config": CONFIG, "environment": {"chaindp": "0.1.0"}}
    return write_run(tmp_path_factory.mktemp("runs") / "a-run", table.frame(), run, {"summary.txt": b"it ran\n"})


@pytest.fixture(scope="module")
def sealed(folder: Path) -> bytes:
    return seal_run(folder)[1]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def manifest_of(files: dict[str, bytes], /, **changes: Any) -> dict[str, Any]:
    return {
        "format": "chaindp bundle",
        "version": 1,
        "run_id": RUN_ID,
        "kind": "bench",
        "chaindp": "0.1.0",
        "command": "chaindp bench --backend=cpu --size=64 --repeat=3 --threads=1 --seed=0 keccak256".split(),
        "not_replayable": "",
        "files": [
            {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in sorted(files.items())
        ],
        **changes,
    }


def pack(
    document: bytes | None, members: list[tuple[str, bytes]], edit: Callable[[zipfile.ZipInfo], object] = bool
) -> bytes:
    """An archive as the format has it, by code of its own; ``edit`` may spoil the header of a member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = b"chaindp seal " + hashlib.sha256(document or b"").hexdigest().encode()
        for name, data in [*([("MANIFEST.json", document)] if document is not None else []), *members]:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o100644 << 16
            edit(info)
            archive.writestr(info, data)
    return buffer.getvalue()


def forge(files: dict[str, bytes], /, edit: Callable[[zipfile.ZipInfo], object] = bool, **changes: Any) -> bytes:
    """A bundle with a right seal and right hashes over whatever is in it."""
    document = (json.dumps(manifest_of(files, **changes), indent=2) + "\n").encode()
    return pack(document, sorted(files.items()), edit)


def test_the_format_is_what_it_says(folder: Path, sealed: bytes) -> None:
    assert sealed == forge(contents(folder))


def test_the_same_run_gives_the_same_bytes(folder: Path, sealed: bytes, tmp_path: Path) -> None:
    copy = tmp_path / "another name"
    copy.mkdir()
    for index, name in enumerate(sorted(contents(folder), reverse=True)):
        (copy / name).write_bytes((folder / name).read_bytes())
        (copy / name).chmod(0o600)
        os.utime(copy / name, (index * 1e6, index * 1e6))
    assert seal_run(copy)[1] == sealed
    (copy / "summary.txt").write_bytes(b"it ran!\n")
    assert seal_run(copy)[1] != sealed


def test_what_goes_in_comes_out(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path, bundle = write_bundle(folder)
    assert path == Path(f"{RUN_ID}.chaindp.zip")
    assert os.listdir() == [path.name]
    opened = open_bundle(path, seal=bundle.seal.upper())
    assert opened == bundle
    assert opened.files == contents(folder)
    assert opened.seal == hashlib.sha256(zipfile.ZipFile(path).read("MANIFEST.json")).hexdigest()
    out = unpack_bundle(opened, tmp_path / "runs" / RUN_ID)
    assert contents(out) == contents(folder)
    assert load(out).equals(load(folder))
    assert os.listdir(out.parent) == [RUN_ID]


def test_the_command_comes_from_the_configuration(folder: Path) -> None:
    manifest = seal_run(folder)[0].manifest
    assert " ".join(manifest["command"]).startswith("chaindp bench --backend=cpu --size=64 --repeat=3")
    assert manifest["not_replayable"] == ""


def test_the_reference_run_can_be_sealed_and_replayed() -> None:
    bundle, _ = seal_run(REPOSITORY / "results" / "reference")
    assert bundle.manifest["not_replayable"] == ""
    assert "--levels=0,1,2,3,4,5" in bundle.manifest["command"]


def test_a_run_that_cannot_be_replayed_says_why(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    environment = {"chaindp": "0.1.0", "command": ["chaindp", "compare", "--revisions", "a,b", 3, "\x1b[2J"]}
    document = {"run_id": RUN_ID, "kind": "compare", "config": {}, "revisions": ["a", "b"], "environment": environment}
    (run / "run.json").write_text(json.dumps(document))
    manifest = seal_run(run)[0].manifest
    assert manifest["not_replayable"] == "it compares git revisions, which are not part of it"
    assert manifest["command"] == ["chaindp", "compare", "--revisions", "a,b"]


def test_a_file_is_never_overwritten(folder: Path, tmp_path: Path) -> None:
    path, _ = write_bundle(folder, tmp_path / "deep" / "er" / "x.zip")
    before = path.stat()
    assert write_bundle(folder, path)[0] == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists and is something else"):
        write_bundle(folder, path)
    assert path.read_bytes() == b"precious"
    with pytest.raises(UsageError, match="exists and is something else"):
        write_bundle(folder, tmp_path)
    with pytest.raises(UsageError, match="cannot write"):
        write_bundle(folder, path / "below a file")
    assert os.listdir(path.parent) == ["x.zip"]
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UsageError, match="exists and is something else"):
        write_bundle(folder, tmp_path / "dangling")
    assert (tmp_path / "dangling").is_symlink()


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none"])
def test_a_file_that_appears_while_it_is_written_stays(
    folder: Path, tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_link)
    path, bundle = write_bundle(folder, tmp_path / "first.zip")
    assert open_bundle(path) == bundle
    fsync = os.fsync

    def somebody_else(descriptor: int) -> None:
        (tmp_path / "x.zip").write_bytes(b"precious")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", somebody_else)
    with pytest.raises(UsageError, match="exists and is something else"):
        write_bundle(folder, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["first.zip", "x.zip"]


def test_a_folder_that_is_unpacked_says_that_its_writer_lives(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere, where its process id means nothing, the lock is what keeps the folder from being cleared away."""
    bundle = seal_run(folder)[0]
    locked = []

    def look(temporary: Path) -> None:
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            locked.append(temporary)
        finally:
            os.close(descriptor)

    monkeypatch.setattr(module, "load", look)
    unpack_bundle(bundle, tmp_path / "run")
    assert len(locked) == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "more").mkdir(), "not a plain file"),
        (lambda run: (run / "more").symlink_to("run.json"), "not a plain file"),
        (lambda run: os.mkfifo(run / "more"), "not a plain file"),
        (lambda run: (run / "MANIFEST.json").write_text("{}"), "a name that a bundle cannot hold"),
        (lambda run: (run / ".hidden").write_text("x"), "a name that a bundle cannot hold"),
        (lambda run: (run / "two words").write_text("x"), "a name that a bundle cannot hold"),
        (lambda run: (run / "samples.parquet").write_text("x"), "not a readable Parquet file"),
        (lambda run: (run / "run.json").unlink(), "holds no run.json"),
        (lambda run: (run / "run.json").write_text("{}"), "does not say what kind of run"),
        (
            lambda run: (run / "run.json").write_text('{"run_id": "../x", "kind": "x"}'),
            "no run_id that is a plain name",
        ),
        (lambda run: [(run / f"{index}").write_text("x") for index in range(70)], "at most"),
    ],
)
def test_a_folder_that_is_not_a_run_is_not_sealed(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    spoil(run)
    with pytest.raises(UsageError, match=message) as caught:
        write_bundle(run, tmp_path / "x.zip")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["run"]


def test_a_run_that_is_too_large_is_not_sealed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1_000)
    with pytest.raises(UsageError, match="holds 1,000 at most"):
        write_bundle(folder, tmp_path / "x.zip")


def refused(data: bytes, message: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "x.zip"
        path.write_bytes(data)
        with pytest.raises(CheckFailed, match=message) as caught:
            open_bundle(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@settings(max_examples=150)
@given(st.data())
def test_not_one_byte_may_differ(sealed: bytes, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(sealed) - 1))
    change = data.draw(st.integers(1, 255))
    refused(sealed[:index] + bytes([sealed[index] ^ change]) + sealed[index + 1 :], "not a sound bundle")


@settings(max_examples=60)
@given(st.data())
def test_no_byte_may_be_missing_or_more(sealed: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(sealed) - 1))
    stop = data.draw(st.integers(start + 1, len(sealed)))
    refused(sealed[:start] + sealed[stop:], "not a sound bundle")
    more = data.draw(st.binary(min_size=1, max_size=40))
    refused(sealed[:start] + more + sealed[start:], "not a sound bundle")


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_noise_is_no_bundle(noise: bytes) -> None:
    refused(noise, "not a sound bundle")
    refused(b"PK\x03\x04" + noise + b"PK\x05\x06" + noise, "not a sound bundle")


def altered(folder: Path, **changes: bytes | None) -> dict[str, bytes]:
    files: dict[str, Any] = contents(folder) | {name.replace("_", "."): value for name, value in changes.items()}
    return {name: value for name, value in files.items() if value is not None}


NAMES = ("../run.json", "/etc/passwd", "a/b", "a\\b", "..", ".", ".x", "a b", "x" * 200, "\x1b[2J", "é", "C:")


@pytest.mark.parametrize("name", NAMES)
def test_members_have_plain_names(folder: Path, name: str) -> None:
    files = contents(folder) | {name: b"x"}
    refused(forge(files), "has a name that no file of a run folder has")


def test_a_name_that_is_cut_at_a_zero_is_seen_whole(folder: Path) -> None:
    data = forge(contents(folder) | {"summaryXtxt": b"x"}).replace(b"summaryXtxt", b"summary\0txt")
    refused(data, "has a name that no file of a run folder has")


def mode(number: int) -> Callable[[zipfile.ZipInfo], object]:
    return lambda info: setattr(info, "external_attr", number << 16)


def test_members_are_plain_stored_files(folder: Path) -> None:
    files = contents(folder)
    refused(forge(files, mode(stat.S_IFLNK | 0o777)), "not a plain file")
    refused(forge(files, mode(stat.S_IFDIR | 0o755)), "not a plain file")
    refused(forge(files, mode(0)), "not a plain file")
    deflated = forge(files, lambda info: setattr(info, "compress_type", zipfile.ZIP_DEFLATED))
    refused(deflated, "is compressed")
    same_size = bytearray(forge(files))
    same_size[same_size.index(b"PK\x01\x02") + 10] = zipfile.ZIP_DEFLATED
    refused(bytes(same_size), "is compressed")
    encrypted = bytearray(forge(files))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    refused(bytes(encrypted), "is encrypted")


def test_a_bomb_is_not_inflated(folder: Path) -> None:
    bomb = forge(altered(folder, summary_txt=bytes(50_000_000)), lambda info: setattr(info, "compress_type", 8))
    assert len(bomb) < 200_000
    refused(bomb, "is compressed")


def test_sizes_are_limited_before_anything_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(forge(contents(folder)))
    last = data.rindex(b"PK\x01\x02")
    struct.pack_into("<LL", data, last + 20, 1 << 31, 1 << 31)
    refused(bytes(data), "its members say that they have")
    monkeypatch.setattr(module, "MAX_BYTES", 1_000)
    refused(bytes(data), "more than 1,000 bytes")


def test_members_are_those_of_the_manifest(folder: Path) -> None:
    files = contents(folder)
    document = (json.dumps(manifest_of(files), indent=2) + "\n").encode()
    members = sorted(files.items())
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = pack(document, [*members, members[0]])
    refused(twice, "is there twice")
    refused(pack(document, [*members, ("more", b"x")]), "more is not in MANIFEST.json")
    refused(pack(document, members[1:]), "is missing")
    refused(pack(None, members), "holds no MANIFEST.json")
    refused(pack(document, [(name, data + b"x") for name, data in members]), "says otherwise")
    changed = [(name, data[:-1] + bytes([data[-1] ^ 1])) for name, data in members]
    refused(pack(document, changed), "does not have the SHA-256")
    refused(forge(files | {str(index): b"" for index in range(80)}), "65 at most")
    for missing in ("run.json", "samples.parquet"):
        refused(forge({name: data for name, data in members if name != missing}), f"holds no {missing}|run.json")


ENTRY = {"name": "x", "size": 0, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "zip"}, "not of a chaindp bundle"),
        ({"version": 2}, "has format version 2; this chaindp reads 1"),
        ({"version": True}, "has format version True"),
        ({"version": "1"}, "has format version '1'"),
        ({"version": None}, "has format version None"),
        ({"more": 1}, "does not have the fields"),
        ({"files": {}}, "does not have the fields"),
        ({"command": "rm -rf"}, "does not have the fields"),
        ({"command": [1]}, "not what they must be"),
        ({"command": ["\x1b[2J"]}, "not what they must be"),
        ({"run_id": "../.."}, "not what they must be"),
        ({"run_id": "another"}, "are of different runs"),
        ({"kind": "pipeline"}, "are of different runs"),
        ({"files": [1]}, "names None"),
        ({"files": [ENTRY]}, "'x' is missing"),
        ({"files": [ENTRY, ENTRY]}, "is there twice"),
        ({"files": [{"name": "\x1b"}]}, "is missing"),
    ],
)
def test_the_manifest_is_checked_field_by_field(folder: Path, changes: dict[str, Any], message: str) -> None:
    refused(forge(contents(folder), **changes), message)


@pytest.mark.parametrize("document", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"1" * 10_000, b'{"a": \xff}'])
def test_json_that_is_none(folder: Path, document: bytes) -> None:
    members = sorted(contents(folder).items())
    refused(pack(document, members), "MANIFEST.json (is not JSON|does not hold a JSON object)")
    refused(forge(altered(folder, run_json=document)), "run.json (is not JSON|does not hold a JSON object)")


def test_an_archive_that_only_holds_the_same_is_not_the_same(folder: Path) -> None:
    files = contents(folder)
    later = forge(files, lambda info: setattr(info, "date_time", (1981, 1, 1, 0, 0, 0)))
    refused(later, "it was altered")
    refused(forge(files, lambda info: setattr(info, "extra", b"\x01\x00\x02\x00hi")), "it was altered")
    document = (json.dumps(manifest_of(files), indent=2) + "\n").encode()
    refused(pack(document, sorted(files.items(), reverse=True)), "it was altered")
    refused(b"#!/bin/sh\n" + forge(files), "it was altered")


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_bundle(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is not a file"):
        open_bundle(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a file"):
        open_bundle(tmp_path / "pipe")


def test_a_seal_names_one_bundle(folder: Path, tmp_path: Path) -> None:
    path, bundle = write_bundle(folder, tmp_path / "x.zip")
    with pytest.raises(CheckFailed, match=f"has the seal {bundle.seal}"):
        open_bundle(path, seal="0" * 64)
    with pytest.raises(UsageError, match="is not a seal"):
        open_bundle(path, seal="xyz")


def test_a_sound_bundle_of_no_run_is_not_unpacked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(files: dict[str, bytes]) -> Any:
        (tmp_path / "x.zip").write_bytes(forge(files))
        return open_bundle(tmp_path / "x.zip")

    out = tmp_path / "runs" / "x"
    with pytest.raises(InputError, match=r"samples.parquet is no Parquet file"):
        unpack_bundle(opened(altered(folder, samples_parquet=b"PAR1")), out)
    other = SampleTable("r").frame().rename(columns={"value": "worth"})
    buffer = io.BytesIO()
    other.to_parquet(buffer)
    with pytest.raises(InputError, match="lacks value") as caught:
        unpack_bundle(opened(altered(folder, samples_parquet=buffer.getvalue())), out)
    assert str(tmp_path) not in str(caught.value)
    assert os.listdir(out.parent) == []
    good = opened(contents(folder))
    monkeypatch.setattr(module, "MAX_ROWS", 2)
    with pytest.raises(InputError, match="says that it has 3 rows; 2 is the most"):
        unpack_bundle(good, out)
    monkeypatch.undo()
    unpack_bundle(good, out)
    with pytest.raises(UsageError, match="never overwritten"):
        unpack_bundle(good, out)
    with pytest.raises(UsageError, match="cannot write"):
        unpack_bundle(good, tmp_path / "x.zip" / "below a file")


def test_the_command(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bundle", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    name = f"{RUN_ID}.chaindp.zip"
    assert (document["path"], document["run_id"], document["kind"]) == (name, RUN_ID, "bench")
    assert [entry["name"] for entry in document["files"]] == ["run.json", "samples.parquet", "summary.txt"]
    assert document["command"][:2] == ["chaindp", "bench"]
    seal = document["seal"]

    assert cli.main(["bundle", "--check", name, "--seal", seal]) == 0
    assert seal in capsys.readouterr().out
    assert cli.main(["bundle", "--check", name, "--seal", "0" * 64, "--json"]) == 1
    assert "it is not the bundle" in json.loads(capsys.readouterr().out)["error"]
    # Checked, and it does not hold, too.
    Path("damaged.zip").write_bytes(Path(name).read_bytes()[:-1])
    for option in ("--check", "--extract"):
        assert cli.main(["bundle", option, "damaged.zip"]) == 1
        assert "damaged.zip is not a sound bundle" in capsys.readouterr().err
    assert cli.main(["replay", "damaged.zip"]) == 1
    assert "is not a sound bundle" in capsys.readouterr().err
    assert not Path("results").exists()

    assert cli.main(["bundle", "--extract", name, "--out", "there", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == f"there/{RUN_ID}"
    assert contents(tmp_path / "there" / RUN_ID) == contents(folder)
    assert cli.main(["bundle", "--extract", name]) == 0
    assert (tmp_path / "results" / "runs" / RUN_ID).is_dir()
    capsys.readouterr()

    for wrong in (
        ["nowhere"],
        [name],
        ["--check", "nowhere"],
        ["--check", str(folder)],
        ["--check", "--extract", name],
        ["--check", name, "--out", "x"],
        [str(folder), "--seal", seal],
        ["--extract", name],
    ):
        assert cli.main(["bundle", *wrong]) == 2, wrong
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("chaindp: error: ")
