"""``chaindp prove`` on several backends: one table, proofs that are compared, and where the time went."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from chaindp.cli import main
from chaindp_cpu.backend import CpuBackend

SMALL = ["--permutations", "16", "--lanes", "2", "--queries", "5", "--grinding", "2", "--threads", "1"]
PARTS = {"trace", "ntt", "hashing", "fri", "transfer", "host"}


def test_a_row_of_every_backend(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "proof"
    backends = ["--backend", "cpu", "--backend", "cpu:scalar", "--backend", "fpga"]
    assert main(["prove", "poseidon2", *SMALL, *backends, "--out", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second, third = found["backends"]
    for row in (first, second):
        assert (row["status"], row["reason"], row["bytes"]) == ("ok", "", path.stat().st_size)
        assert set(row["parts"]) == PARTS
        assert all(seconds >= 0 for seconds in row["parts"].values())
        whole = sum(seconds for part, seconds in row["parts"].items() if part != "trace")
        assert whole == pytest.approx(row["seconds"])
        assert row["verify_seconds"] > 0
    assert (first["output_matched"], second["output_matched"], third["output_matched"]) == (None, True, None)
    assert (third["status"], third["seconds"]) == ("skipped", None)
    assert third["reason"] == "backend fpga does not implement lde"
    assert found["seconds"] == first["seconds"]


def test_proofs_that_hide_are_compared_too(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--depth", "2", "--queries", "5", "--grinding", "2"]
    assert main(["prove", "credential", *arguments, "--backend", "cpu", "--backend", "cpu:scalar", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["backends"]
    assert [row["output_matched"] for row in rows] == [None, True]


def test_a_backend_that_cannot_prove_says_why(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "proof"
    assert main(["prove", "poseidon2", *SMALL, "--backend", "fpga", "--out", str(path)]) == 2
    assert capsys.readouterr().err == "chaindp: error: backend fpga does not implement lde\n"
    assert not path.exists()


def test_another_proof_fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from chaindp.chain.proof import prover

    grind = prover._Prover.grind

    def other(self: prover._Prover, transcript: object) -> bytes:
        """Another number with enough bits, as a backend would find that looks in another order."""
        found = grind(self, transcript)  # type: ignore[arg-type]
        return (
            found
            if self.kernels.backend.label == "cpu"
            else (int.from_bytes(found, "little") + 1).to_bytes(8, "little")
        )

    monkeypatch.setattr(prover._Prover, "grind", other)
    arguments = ["--permutations", "16", "--lanes", "2", "--queries", "5", "--grinding", "0"]
    assert main(["prove", "poseidon2", *arguments, "--backend", "cpu", "--backend", "cpu:scalar"]) == 1
    assert "backend cpu:scalar: another proof than that of cpu" in capsys.readouterr().out


def test_a_backend_whose_hashes_are_wrong_does_not_verify_its_own_proof(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The one that all proofs are verified with: what it makes is verified with another one, too.
    hashed = CpuBackend.keccak256

    def wrong(self: CpuBackend, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        digests = hashed(self, data, offsets).copy()
        digests[:, 0] ^= 1
        return digests

    monkeypatch.setattr(CpuBackend, "keccak256", wrong)
    path = tmp_path / "proof"
    assert main(["prove", "poseidon2", *SMALL, "--out", str(path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is False and "backend cpu: the proof does not hold" in found["reason"]
    assert found["path"] is None and not path.exists()


def test_out_takes_the_place_of_a_proof_and_of_nothing_else(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path, notes, link = tmp_path / "proof", tmp_path / "notes.txt", tmp_path / "link"
    assert main(["prove", "poseidon2", *SMALL, "--out", str(path)]) == 0
    first = path.read_bytes()
    link.symlink_to(path)
    assert main(["prove", "poseidon2", *SMALL, "--seed", "1", "--out", str(link)]) == 0
    assert link.is_symlink() and path.read_bytes() != first
    notes.write_text("mine")
    capsys.readouterr()
    for out, reason in (
        (str(notes), "exists and is not a chaindp proof"),
        (str(tmp_path), "is a directory"),
        ("", "is a folder"),
        ("/dev/null", "is a device and no file"),
        (str(notes / "below"), "Not a directory"),
        (str(tmp_path / "no" / "proof"), "No such file or directory"),
    ):
        assert main(["prove", "poseidon2", *SMALL, "--out", out]) == 2
        err = capsys.readouterr().err
        assert reason in err and err.count("\n") == 1
    assert notes.read_text() == "mine"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "notes.txt", "proof"]


def test_what_does_not_fit_into_memory_is_refused_before_the_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1 << 30))
    assert main(["prove", "keccak", "--permutations", "100000"]) == 2
    assert "4,194,304 rows of 2,366 columns take 110.9 GiB of memory to prove, and 1.0 GiB are free" in (
        capsys.readouterr().err
    )


def test_an_expiry_that_the_air_cannot_compare_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["prove", "credential", "--depth", "2", "--queries", "5", "--grinding", "2", "--time", "0", "--expiry"]
    assert main([*arguments, str((1 << 28) + 1)]) == 2
    assert "more than 2^28 minutes after --time 0" in capsys.readouterr().err
    assert main([*arguments, str(1 << 28)]) == 0


def test_what_a_proof_says_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "proof"
    assert main(["prove", "poseidon2", *SMALL, "--hash", "sha256", "--out", str(path)]) == 0
    capsys.readouterr()
    assert main(["verify", "proof", str(path), "--least-bits", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["hash"], found["hiding"], found["rows"]) == ("sha256", False, 8)
    assert found["parameters"] == {"log_blowup": 1, "queries": 5, "grinding": 2}
    assert found["security_bits"] == 7 and 0 <= found["security_bits_proven"] < 7
    path.write_bytes(bytes(20))
    assert main(["verify", "proof", str(path), "--json"]) == 1
    assert set(json.loads(capsys.readouterr().out)) == set(found)
