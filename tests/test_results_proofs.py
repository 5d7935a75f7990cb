"""What a run says of its blocks' STARKs: in the terminal, on the page, in Markdown, in JSON."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from chaindp.chain.proof import parts
from chaindp.report.markdown import markdown_report
from chaindp.report.terminal import run_summary
from chaindp.results.proofs import PARTS, block_proofs
from report_runs import pipeline_table, write

DOMAINS = ["wall", "modelled"]


def with_proofs(domain: str) -> pd.DataFrame:
    """A made-up run of two levels, with a proof in one of two blocks of three repetitions."""
    frame = pipeline_table(levels=(0, 4), repetitions=3, blocks=2)
    base = frame[frame["metric"] == "cpu"].iloc[0]
    rows = []
    for level, factor in ((0, 2.0), (4, 1.0)):
        for repetition in range(3):
            for block in range(2):
                where = {"level": level, "repetition": repetition, "block": block, "stage": "prove"}
                where |= {"backend_ran": "cpu" if level else "cpu:scalar", "time_domain": domain}
                values = {"proofs": 1 - block, "proof_bytes": 1000 * (1 - block), "proof_verify": 5e6}
                values |= {
                    f"proof_{part}": 1e6 * factor * (number + 1) * (repetition + 1) for number, part in enumerate(PARTS)
                }
                rows += [dict(base) | where | {"metric": metric, "value": value} for metric, value in values.items()]
    return pd.concat([frame, pd.DataFrame(rows)[list(frame.columns)]], ignore_index=True)


def test_the_parts_are_those_that_the_prover_books() -> None:
    assert parts.PARTS == PARTS


def test_means_of_blocks_and_medians_of_repetitions() -> None:
    found = block_proofs(with_proofs("wall")).to_dict("records")
    assert [(row["level"], row["backend"], row["proofs"], row["bytes"]) for row in found] == [
        (0, "cpu:scalar", 0.5, 500),
        (4, "cpu", 0.5, 500),
    ]
    assert [row["host"] for row in found] == [24e6, 12e6]
    assert [row["verify"] for row in found] == [5e6, 5e6]


def test_a_run_without_proofs_has_no_row() -> None:
    assert len(block_proofs(pipeline_table(levels=(0,), repetitions=1))) == 0
    assert "STARKs" not in run_summary(pipeline_table(levels=(0,), repetitions=5), 0.02, 100, [])


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_summary_and_the_report_show_them(domain: str, tmp_path: Path) -> None:
    frame = with_proofs(domain)
    said = run_summary(frame, 0.02, 100, [])
    assert "STARKs, a block" in said
    (line,) = (line for line in said.splitlines() if line.strip().startswith("DP4     cpu "))
    star = "*" if domain == "modelled" else ""
    assert line.split()[2:] == [
        "0.5",
        "500",
        "2.0",
        f"4.0{star}",
        f"6.0{star}",
        f"8.0{star}",
        f"10.0{star}",
        "12.0",
        "5.0",
    ]
    write(tmp_path / "run-1", frame, "pipeline")
    page = markdown_report([tmp_path / "run-1"])
    (row,) = (line for line in page.splitlines() if line.startswith("| DP0") and "cpu:scalar | 0.5" in line)
    assert "| 500 |" in row and "24.0 ms" in row
    assert ("ntt (modelled)" in page) == (domain == "modelled")
