"""``chaindp prove`` on several backends: one table, proofs that are compared, and where the time went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaindp.cli import main

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
    assert "the proof of backend cpu:scalar is another than that of cpu" in capsys.readouterr().out
