"""``chaindp doctor``: what works on this machine, what is missing, and the command that mends it."""

from __future__ import annotations

import click

from chaindp.cli import output
from chaindp.measure.doctor import Check, run_checks


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def doctor(as_json: bool) -> int:
    """Check this machine: interpreter, compilers, SIMD, plugins, drivers, every backend on a known answer, store, data.

    Exits 1 where a check fails that every run needs; what only some commands need, or a broken third-party plugin, is a
    row and a way to mend it. Rows that begin with the name of a backend say what it found of its drivers. Rows named
    "system" are advice: what makes figures noisy here, and how to quieten it.
    """
    checks = run_checks(output.warn)
    holds = all(check.ok or not check.required for check in checks)
    if as_json:
        output.emit(
            {
                "ok": holds,
                "checks": [
                    {
                        "name": check.name,
                        "ok": check.ok,
                        "required": check.required,
                        "advice": check.advice,
                        "detail": check.detail,
                        "fix": check.fix,
                    }
                    for check in checks
                ],
            }
        )
    else:
        output.table(
            "Checks",
            ("check", "result", "detail", "to mend it"),
            [[check.name, _verdict(check), check.detail, check.fix] for check in checks],
        )
    return 0 if holds else 1


def _verdict(check: Check) -> str:
    if check.ok:
        return "ok"
    if check.advice:
        return "unknown" if check.ok is None else "advice"
    if check.ok is None:
        return "note"
    return "FAILS" if check.required else "missing"
