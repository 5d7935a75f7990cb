"""What a pipeline run is asked for, checked before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass, field

from chaindp.backend import Platform
from chaindp.chain.consensus import FixedSlotParams
from chaindp.chain.network import NetworkParams
from chaindp.errors import UsageError
from chaindp.measure.platforms import stated_platform
from chaindp.pipeline.work import Machine

__all__ = ["LIMITS", "RunConfig"]

LIMITS = {
    "txs": 10_000_000,
    "block_txs": 10_000_000,
    "accounts": 10_000_000,
    "repeat": 10_000,
    "threads": 4_096,
    "cores": 4_096,
}
"""The most that each option may ask for: memory holds no more, and nothing that this tool is for needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What ``chaindp run`` was asked for. Times are seconds; see ``WorkloadParams`` for the workload's part.

    cores, lock: of the modelled host (``pipeline.work.Machine``); None for as many cores as ``threads``
    clock_mhz, instances, link: of the platform around simulated devices (``measure.platforms``); None for the backend's
    """

    workload: str = "erc20"
    levels: tuple[int, ...] = (0, 1, 2, 3, 4)
    txs: int = 10_000
    block_txs: int = 1_000
    accounts: int = 100_000
    repeat: int = 5
    seed: int = 0
    zipf: float = 0.0
    conflict: float = 0.0
    mode: str = "live"
    backends: tuple[str, ...] = ()
    ablate: tuple[str, ...] = ()
    threads: int = 1
    cores: int | None = None
    lock: bool = True
    clock_mhz: float | None = None
    instances: int | None = None
    link: str | None = None
    slot_s: float = 0.02
    network: NetworkParams = field(default_factory=NetworkParams)

    def __post_init__(self) -> None:
        for name, most in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise UsageError(f"--{name.replace('_', '-')} is {value}; it must be within 1 and {most:,}")
        if not 0 <= self.seed < 1 << 64:
            raise UsageError(f"--seed is {self.seed}; it must be 0 or more, and below 2^64")
        if not 0 <= self.conflict <= 1:
            raise UsageError(f"--conflict is {self.conflict}; it must be within 0 and 1")
        if not 0 <= self.zipf <= 10:
            raise UsageError(f"--zipf is {self.zipf}; it must be within 0 and 10")
        if self.mode not in ("live", "model"):
            raise UsageError(f"--mode is {self.mode!r}; it is live or model")
        if self.mode == "live" and (self.cores is not None or not self.lock):
            raise UsageError("--cores and --no-lock are about the modelled host: use --mode model")
        FixedSlotParams(slot_s=self.slot_s)
        stated_platform(self.clock_mhz, self.instances, self.link)

    @property
    def platform(self) -> Platform | None:
        """What is stated around simulated devices; None where nothing is."""
        return stated_platform(self.clock_mhz, self.instances, self.link)

    @property
    def machine(self) -> Machine | None:
        """The modelled host; None in live mode."""
        return Machine(cores=self.cores or self.threads, lock=self.lock) if self.mode == "model" else None
