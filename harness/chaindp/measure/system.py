"""What about this machine makes figures noisy right now, and how to mend it, in the manner of ``pyperf system show``.

The checks advise. None of them forbids a measurement, and none of them changes anything on the machine.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chaindp.measure import machine
from chaindp.measure.machine import ROOT, read

__all__ = ["CpuTimes", "SystemCheck", "cpu_times", "system_checks", "system_warnings"]

INTERVAL_S = 0.2
"""Over how long stolen CPU time is measured. The kernel counts in ticks of 10 ms a core."""

STOLEN = 0.02
"""The share of stolen CPU time that is still let pass."""

LOAD = 0.1
"""How much others may load the machine, as a share of its cores; a load of QUIET is let pass on any machine."""
QUIET = 0.25

STEADY_CLOCKS = (
    "tsc",
    "arch_sys_counter",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "timebase",
    "tod",
    "riscv_clocksource",
)

_LOAD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SystemCheck:
    """One check. ``ok`` is None where this machine does not say; ``fix`` is empty unless ``ok`` is False."""

    name: str
    ok: bool | None
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Ticks of all cores since boot, and the monotonic instant, in seconds, at which they were read."""

    at_s: float
    total: int
    stolen: int


def system_checks(root: Path = ROOT, since: CpuTimes | None = None) -> list[SystemCheck]:
    """All checks. Takes INTERVAL_S, less what has passed ``since`` an earlier ``cpu_times()``.

    root: the folder that ``proc`` and ``sys`` lie in; of another one, load and clock ticks are taken as they are
    """
    since = since or cpu_times(root)
    cpu = machine.cpu(root)
    checks = [
        _governor(cpu),
        _turbo(cpu),
        _smt(root),
        _load(root, cpu),
        _aslr(root),
        _clocksource(root),
        _virtual_machine(root),
        _cpu_limit(root, cpu),
        _swap(root),
        _power(root),
        _steal(root, since),
    ]
    return [check if check.ok is False else SystemCheck(check.name, check.ok, check.detail) for check in checks]


def system_warnings(root: Path = ROOT, since: CpuTimes | None = None) -> list[str]:
    """One short line for each check that is not ok; those that this machine does not answer are left out."""
    return [f"{check.name}: {check.detail}" for check in system_checks(root, since) if check.ok is False]


def cpu_times(root: Path = ROOT) -> CpuTimes | None:
    """What ``/proc/stat`` says of all cores now; None where it does not."""
    fields = (read("proc/stat", root) or "").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu" or not all(field.isdecimal() for field in fields[1:]):
        return None
    # user nice system idle iowait irq softirq steal; the guest times after them are in user and nice already.
    ticks = [int(field) for field in fields[1:9]]
    return CpuTimes(time.monotonic(), sum(ticks), ticks[7])


def _governor(cpu: dict[str, object]) -> SystemCheck:
    governor, differing = cpu["governor"], cpu["governor_per_core"]
    fix = "sudo cpupower frequency-set --governor performance"
    if governor is None:
        return SystemCheck("governor", None, "this machine does not show how it sets its clock")
    detail = f"differs between cores: {', '.join(differing)}" if isinstance(differing, dict) else str(governor)
    return SystemCheck("governor", governor == "performance", detail, fix)


def _turbo(cpu: dict[str, object]) -> SystemCheck:
    if cpu["turbo_per_core"]:
        return SystemCheck("turbo", False, "on for some cores, off for others", _boost_off(cpu))
    if cpu["turbo"] is None:
        return SystemCheck("turbo", None, "this machine does not show whether its clock may rise above its base")
    detail = "on: the clock depends on temperature and on what other cores do" if cpu["turbo"] else "off"
    return SystemCheck("turbo", not cpu["turbo"], detail, _boost_off(cpu))


def _boost_off(cpu: dict[str, object]) -> str:
    intel = cpu["frequency_driver"] in ("intel_pstate", "intel_cpufreq")
    value, file = ("1", "intel_pstate/no_turbo") if intel else ("0", "cpufreq/boost")
    return f"echo {value} | sudo tee /sys/devices/system/cpu/{file}"


def _smt(root: Path) -> SystemCheck:
    control, active = (read(f"sys/devices/system/cpu/smt/{name}", root) for name in ("control", "active"))
    if control is None and active is None:
        return SystemCheck("smt", None, "this machine does not show whether cores share their units")
    on = active == "1" if active is not None else control == "on"
    detail = "on: two threads share the units of a core" if on else f"off ({control or 'not active'})"
    return SystemCheck("smt", not on, detail, "echo off | sudo tee /sys/devices/system/cpu/smt/control")


def _load(root: Path, cpu: dict[str, object]) -> SystemCheck:
    """Load of the last minute against cores, less what this process itself has put into it."""
    text = (read("proc/loadavg", root) or "").partition(" ")[0]
    try:
        load = float(text)
    except ValueError:
        return SystemCheck("load", None, "the load average cannot be read")
    cores = cpu["cores_usable"]
    assert isinstance(cores, int)
    own = min(load, _own_load(root)) if root == ROOT else 0.0
    detail = f"{load:.2f} on {cores} cores over the last minute"
    if own >= 0.01:
        detail += f", about {own:.2f} of it by this process"
    fix = "end what else runs here (top shows it), or wait a minute"
    return SystemCheck("load", load - own <= max(QUIET, LOAD * cores), detail, fix)


def _own_load(root: Path) -> float:
    """What this process, its children that ended included, adds to the load average of one minute.

    The average forgets exponentially, so a process that has been as busy as on its own average for ``age`` seconds adds
    ``busy * (1 - exp(-age / 60))``.
    """
    uptime, stat = read("proc/uptime", root), read("proc/self/stat", root)
    if uptime is None or stat is None:
        return 0.0
    # The command's name, in parentheses, may hold anything; field 22 is the start, in ticks since boot.
    started = int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    age = max(float(uptime.split()[0]) - started, 0.01)
    times = os.times()
    busy = (times.user + times.system + times.children_user + times.children_system) / age
    return busy * (1.0 - math.exp(-age / _LOAD_SECONDS))


def _aslr(root: Path) -> SystemCheck:
    state = machine.aslr(root)
    level = state["randomize_va_space"]
    if level is None:
        return SystemCheck("aslr", None, "this machine does not show whether addresses are random")
    if state["disabled_for_process"]:
        return SystemCheck(
            "aslr", False, "off for this process: one layout of memory stands for all", "do not use setarch -R"
        )
    detail = {2: "full: every process has another layout of memory", 1: "partial", 0: "off"}.get(level, str(level))  # type: ignore[call-overload]
    return SystemCheck("aslr", level == 2, detail, "echo 2 | sudo tee /proc/sys/kernel/randomize_va_space")


def _clocksource(root: Path) -> SystemCheck:
    source = machine.clocksource(root)
    if source is None:
        return SystemCheck("clocksource", None, "this machine does not show what it reads the time from")
    fix = "find out why the kernel distrusts the CPU's counter: sudo dmesg | grep -i tsc"
    slow = "" if source in STEADY_CLOCKS else ": reading the time costs up to a microsecond"
    return SystemCheck("clocksource", not slow, source + slow, fix)


def _virtual_machine(root: Path) -> SystemCheck:
    found = machine.virtual_machine(root)
    if found["present"] is None:
        return SystemCheck("virtual machine", None, "nothing says that this is one")
    if not found["present"]:
        return SystemCheck("virtual machine", True, "no")
    detail = f"yes ({found['vendor'] or 'unknown hypervisor'}): expect more noise, by neighbours that cannot be seen"
    return SystemCheck("virtual machine", False, detail, "measure on real hardware, or raise --repeat")


def _cpu_limit(root: Path, cpu: dict[str, object]) -> SystemCheck:
    limits = machine.cgroup_limits(root)
    cores, limit = cpu["cores_usable"], limits["cores"]
    assert isinstance(cores, int)
    if limits["limited"] is None:
        return SystemCheck("cpu limit", None, "control groups cannot be read")
    if not isinstance(limit, float) or limit >= cores:
        return SystemCheck("cpu limit", True, "none below the number of cores")
    detail = f"{limit:g} cores' worth of time on {cores} cores: threads are stopped when it is used up"
    return SystemCheck("cpu limit", False, detail, "start the container without --cpus, with --cpuset-cpus instead")


def _swap(root: Path) -> SystemCheck:
    state = machine.memory(root)
    used = state["swap_used_bytes"]
    if not isinstance(used, int):
        return SystemCheck("swap", None, "the use of swap cannot be read")
    detail = f"{used / 2**20:.0f} MiB in use" if used else "not in use" if state["swap_bytes"] else "none"
    return SystemCheck("swap", used == 0, detail, "sudo swapoff -a")


def _power(root: Path) -> SystemCheck:
    folder = root / "sys/class/power_supply"
    if not folder.is_dir():
        return SystemCheck("power", None, "this machine does not show what powers it")
    supplies = list(_supplies(folder))
    mains = [online for kind, online in supplies if kind in ("Mains", "USB", "Wireless")]
    if not any(kind == "Battery" for kind, _ in supplies) or "1" in mains:
        return SystemCheck("power", True, "mains" if mains else "no battery")
    if not mains:
        return SystemCheck("power", None, "there is a battery, and nothing says whether it is in use")
    return SystemCheck("power", False, "battery: the clock may be held down", "plug the machine in")


def _supplies(folder: Path) -> Iterator[tuple[str | None, str | None]]:
    """Kind and ``online`` of what powers the machine; batteries of a mouse or a keyboard are none of it."""
    for name in sorted(path.name for path in folder.iterdir()):
        if read(f"{name}/scope", folder) != "Device":
            yield read(f"{name}/type", folder), read(f"{name}/online", folder)


def _steal(root: Path, since: CpuTimes | None) -> SystemCheck:
    if since is None:
        return SystemCheck("steal", None, "stolen CPU time cannot be read")
    if root == ROOT:
        time.sleep(max(0.0, since.at_s + INTERVAL_S - time.monotonic()))
    now = cpu_times(root)
    if now is None:
        return SystemCheck("steal", None, "stolen CPU time cannot be read")
    ticks, stolen = now.total - since.total, now.stolen - since.stolen
    share = stolen / ticks if ticks > 0 else 0.0
    detail = f"{share:.1%} of the CPU time of the last {now.at_s - since.at_s:.2f} s went to other virtual machines"
    # One tick alone is as likely a rounding of the kernel's.
    ok = share <= STOLEN or stolen <= 1
    return SystemCheck("steal", ok, detail, "choose a machine of its own, or another time")
