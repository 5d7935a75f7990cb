"""How many tests ``chaindp conform`` skipped, and for which reasons."""

from __future__ import annotations

from dataclasses import replace

from chaindp.plugins import load_plugins
from chaindp.testing.session import run_suite


def test_the_reasons_account_for_every_test_that_was_skipped() -> None:
    registry = load_plugins()
    blank = replace(registry.kernels["keccak256"], name="blank", conformance="")
    registry = replace(registry, kernels={**registry.kernels, "blank": blank})
    document = run_suite(registry, "cpu", ["blank"], budget_s=0.1, only="TestBlank").to_dict()
    (skip,) = document["skips"]
    assert (skip["test"], skip["kernel"]) == (None, "blank")
    assert skip["reason"] == "backend cpu says blank is not implemented"
    assert document["skipped"] == skip["tests"] > 10
