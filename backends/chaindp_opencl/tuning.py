"""How a hash is laid out on a device: chosen from what the device reports, replaced by what ``chaindp tune`` found.

No choice here changes a result. A tuning is a mapping of four numbers, as ``chaindp.backend.Tuning`` has it:

lanes:  messages side by side in one work-item, one in each lane of a vector; 1 leaves the vectors to the device
items:  groups of so many messages that a work-item hashes at least, one after another
group:  work-items of a work-group
unroll: rounds in one turn of the permutation's loop (Keccak-256; SHA-256 is always unrolled)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from chaindp.backend import Tuning
from chaindp.errors import PluginError, UsageError
from chaindp_opencl.driver import OpenClDevice, select

__all__ = [
    "TUNED",
    "HashTuning",
    "candidates",
    "default",
    "effective",
    "forget",
    "proposals",
    "read",
    "store",
    "stored",
]

TUNED = ("keccak256", "sha256")
"""The kernels with a tuning. Trees and tries hash with these."""

WORD_BITS = {"keccak256": 64, "sha256": 32}


@dataclass(frozen=True, slots=True)
class HashTuning:
    """The four numbers, checked."""

    lanes: int
    items: int
    group: int
    unroll: int

    @classmethod
    def of(cls, tuning: Tuning, kernel: str) -> HashTuning:
        """UsageError for a name or a value that no tuning of ``kernel`` has."""
        allowed = {"lanes": (1, 2, 4, 8, 16), "unroll": (1, 2, 3, 4, 6, 8, 12, 24)}
        widest = 512 // WORD_BITS[kernel]
        values: dict[str, int] = {}
        for name in ("lanes", "items", "group", "unroll"):
            value = tuning.get(name)
            # A bool is an int to Python, and no number to a compiler.
            if type(value) is not int or value not in allowed.get(name, range(1, 1 << 20)):
                raise UsageError(f"opencl: tuning of {kernel}: {name} is {value!r}")
            values[name] = value
        if set(tuning) != set(values):
            raise UsageError(f"opencl: tuning of {kernel}: no parameter {sorted(set(tuning) - set(values))[0]!r}")
        if values["lanes"] > widest:
            raise UsageError(f"opencl: tuning of {kernel}: {values['lanes']} lanes, and {widest} are the most")
        return cls(**values)


def default(device: OpenClDevice, kernel: str) -> HashTuning:
    """What the device's own report suggests: its vectors filled from one work-item, or a work-item a message."""
    if device.kind == "cpu":
        # A compiler for CPUs may or may not turn work-items into vector lanes; written out, they are lanes.
        native = device.vector_long if WORD_BITS[kernel] == 64 else device.vector_int
        lanes = max(
            power for power in (1, 2, 4, 8, 16) if power <= max(native, 1) and power <= 512 // WORD_BITS[kernel]
        )
        return HashTuning(lanes=lanes, items=64, group=1, unroll=2 if kernel == "keccak256" else 1)
    return HashTuning(
        lanes=1, items=1, group=min(128, max(device.max_group, 1)), unroll=24 if kernel == "keccak256" else 1
    )


def candidates(device: OpenClDevice, kernel: str) -> list[HashTuning]:
    """The default first, then what else may be better on a device of this kind."""
    unrolls = (1, 2, 4) if kernel == "keccak256" else (1,)
    first = default(device, kernel)
    found = [first]
    if device.kind == "cpu":
        # Half as many lanes are half as many registers; a compiler that splits vectors anyway does better with these.
        for lanes in (first.lanes, first.lanes // 2, 2 * first.lanes, 1):
            if 1 <= lanes <= 512 // WORD_BITS[kernel]:
                found += [HashTuning(lanes, items, 1, unroll) for unroll in unrolls for items in (64, 16, 256)]
    else:
        groups = [size for size in (64, 128, 256, 32) if size <= device.max_group]
        unrolls = (24, *unrolls) if kernel == "keccak256" else unrolls
        found += [HashTuning(1, items, group, unroll) for unroll in unrolls for items in (1, 4) for group in groups]
        found += [HashTuning(2, 1, group, unroll) for unroll in unrolls for group in groups[:2]]
    return list(dict.fromkeys(found))


def effective(device: OpenClDevice, asked_for: Mapping[str, Tuning]) -> dict[str, HashTuning]:
    """For every kernel of TUNED what was asked for, else what is stored for this device and driver, else the default.

    What is stored is not read where all was asked for.
    """
    chosen = {kernel: HashTuning.of(tuning, kernel) for kernel, tuning in asked_for.items()}
    kept = {} if set(TUNED) <= set(chosen) else read().get(device.key, {})
    for kernel in TUNED:
        if kernel not in chosen:
            chosen[kernel] = _checked(device, kernel, kept[kernel]) if kernel in kept else default(device, kernel)
    return chosen


def _checked(device: OpenClDevice, kernel: str, kept: Tuning) -> HashTuning:
    """A stored tuning; PluginError that says how to get rid of it where it is none."""
    try:
        return HashTuning.of(kept, kernel)
    except UsageError as error:
        raise PluginError(
            f"{error}; it is stored in {path()}: chaindp tune opencl{f':{device.index}' if device.index else ''} "
            "--forget drops what is stored for this device"
        ) from error


def path() -> Path:
    """Where tunings are kept: ``opencl-tuning.json`` in chaindp's folder for configuration."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(base) / "chaindp" / "opencl-tuning.json"


def read() -> dict[str, dict[str, dict[str, int | str]]]:
    """Everything that is kept: by platform, device and driver, then by kernel; PluginError where it is broken."""
    try:
        content = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        # Where a part of the path is a file, or a folder that may not be entered, there is nothing to remove.
        way_out = "remove or mend it" if os.path.lexists(path()) else "set XDG_CONFIG_HOME to a folder of your own"
        raise PluginError(f"opencl: {path()} cannot be read ({error.strerror or error}); {way_out}") from error
    except (ValueError, RecursionError) as error:
        raise PluginError(f"opencl: {path()} is no JSON ({error}); remove or mend it") from error
    well_formed = isinstance(content, dict) and all(
        isinstance(kernels, dict) and all(isinstance(tuning, dict) for tuning in kernels.values())
        for kernels in content.values()
    )
    if not well_formed:
        raise PluginError(f"opencl: {path()} is not a file of tunings; remove it")
    return content  # type: ignore[no-any-return]


def _write(content: Mapping[str, Mapping[str, Tuning]]) -> None:
    target = path()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the file and then into its place: whoever reads it finds all of the old or all of the new.
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            beside.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise PluginError(f"opencl: {target} cannot be written: {error.strerror or error}") from error


def proposals(device: str, kernel: str) -> Sequence[Tuning]:
    """``candidates`` as ``chaindp tune`` takes them."""
    return [asdict(tuning) for tuning in candidates(select(device), kernel)]


def store(device: str, tunings: Mapping[str, Tuning]) -> str:
    """Keep tunings by kernel for this device and driver; returns the file's name. PluginError where it cannot."""
    for kernel, tuning in tunings.items():
        HashTuning.of(tuning, kernel)
    content: dict[str, Mapping[str, Tuning]] = dict(read())
    key = select(device).key
    content[key] = {**content.get(key, {}), **{kernel: dict(tuning) for kernel, tuning in tunings.items()}}
    _write(content)
    return str(path())


def stored(device: str) -> Mapping[str, Tuning]:
    """What is kept for this device and driver, by kernel, as it is in the file; empty where nothing is."""
    return read().get(select(device).key, {})


def forget(device: str) -> bool:
    """Drop what is kept for this device and driver; returns whether there was anything."""
    content = read()
    if content.pop(select(device).key, None) is None:
        return False
    _write(content)
    return True
