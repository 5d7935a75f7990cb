"""The options that state the hardware around a simulated device, for every command that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from chaindp.cli.params import FiniteRange

__all__ = ["platform_options"]

_F = TypeVar("_F", bound=Callable[..., Any])


def platform_options(command: _F) -> _F:
    """``--clock``, ``--instances``, ``--link``: the arguments clock_mhz, instances and link, each None by default."""
    for option in reversed(
        (
            click.option(
                "--clock",
                "clock_mhz",
                type=FiniteRange(1e-6, 1e6),
                default=None,
                metavar="MHZ",
                help="Clock of a simulated device.  [default: what its core states]",
            ),
            click.option(
                "--instances",
                type=click.IntRange(1, 1_000_000),
                default=None,
                help="Copies of its core that share a call's operations.  [default: 1]",
            ),
            click.option(
                "--link",
                default=None,
                metavar="NAME|US:GB_S[:overlap]",
                help="The way to it: a name, or latency and rate.  [default: the backend's own]",
            ),
        )
    ):
        command = option(command)
    return command
