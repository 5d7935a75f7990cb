"""What is read off a machine, on machines that are described in a folder, and what the checks make of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaindp import cli
from chaindp.measure import doctor, machine, system
from chaindp.measure.system import CpuTimes, SystemCheck, cpu_times, system_checks, system_warnings

CORES = len(os.sched_getaffinity(0))
CPU = "sys/devices/system/cpu"

QUIET = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast 9000\ncpu family\t: 6\nmodel\t\t: 7\nstepping\t: 1\n"
    "microcode\t: 0x1\ncpu MHz\t\t: 2000.5\nflags\t\t: sse avx2\nhypervisor vendor :\n",
    "proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 600 kB\nSwapTotal: 100 kB\nSwapFree: 100 kB\nHugePages_Total: 4",
    "proc/loadavg": "0.01 0.20 0.30 2/345 9999",
    "proc/stat": "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3",
    "proc/cmdline": "BOOT_IMAGE=/boot/secret root=UUID=1234 isolcpus=1-3 mitigations=off quiet -- isolcpus=9",
    "proc/self/cgroup": "0::/user.slice/job",
    "proc/self/personality": "00000000",
    "proc/sys/kernel/randomize_va_space": "2",
    "proc/sys/kernel/numa_balancing": "0",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "performance",
    f"{CPU}/cpu1/cpufreq/scaling_governor": "performance",
    f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "3500000",
    f"{CPU}/cpu0/cpufreq/scaling_driver": "intel_pstate",
    f"{CPU}/intel_pstate/no_turbo": "1",
    f"{CPU}/smt/control": "off",
    f"{CPU}/smt/active": "0",
    f"{CPU}/isolated": "1-3",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
    "sys/devices/system/node/node0/cpulist": "0-1",
    "sys/devices/system/node/node1/cpulist": "2-3",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory",
    "sys/fs/cgroup/user.slice/cpu.max": "max 100000",
    "sys/fs/cgroup/user.slice/job/cpu.max": "max 100000",
    "sys/fs/cgroup/user.slice/job/cpuset.cpus.effective": "0-3",
    "sys/fs/cgroup/user.slice/job/memory.max": "max",
    "sys/fs/cgroup/user.slice/memory.max": "4096",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "sys/kernel/mm/transparent_hugepage/defrag": "always defer [defer+madvise] madvise never",
    "sys/class/power_supply/AC/type": "Mains",
    "sys/class/power_supply/AC/online": "1",
    "sys/class/power_supply/BAT0/type": "Battery",
}


def describe(root: Path, **changes: str | None) -> Path:
    """The quiet machine with some files changed (or left out); ``__`` in a keyword stands for a slash."""
    files = QUIET | {name.replace("__", "/"): text for name, text in changes.items()}
    for name, text in files.items():
        if text is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text + "\n")
    return root


def verdicts(root: Path, stolen: int = 0) -> dict[str, SystemCheck]:
    """All checks, 100 ticks after a reading; ``stolen`` of them went elsewhere."""
    return {check.name: check for check in system_checks(root, CpuTimes(time.monotonic(), 900, -stolen))}


def test_a_quiet_machine_has_nothing_to_mend(tmp_path: Path) -> None:
    found = verdicts(describe(tmp_path))
    assert {name: check.ok for name, check in found.items()} == {
        "governor": True,
        "turbo": True,
        "smt": True,
        "load": True,
        "aslr": True,
        "clocksource": True,
        "virtual machine": None,
        "cpu limit": True,
        "swap": True,
        "power": True,
        "steal": True,
    }
    assert not any(check.fix for check in found.values())
    assert system_warnings(tmp_path) == []


def power(**kinds: str) -> dict[str, str | None]:
    files: dict[str, str | None] = {name: None for name in QUIET if "power_supply" in name}
    for name, value in kinds.items():
        kind, _, online = value.partition(" ")
        files[f"sys/class/power_supply/{name}/type"] = kind
        if online:
            files[f"sys/class/power_supply/{name}/online"] = online
    return files


@pytest.mark.parametrize(
    ("name", "files", "ok", "detail"),
    [
        ("governor", {f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave"}, False, "performance, powersave"),
        (
            "governor",
            {f"{CPU}/cpu{core}/cpufreq/scaling_governor": "schedutil" for core in (0, 1)},
            False,
            "schedutil",
        ),
        ("governor", {f"{CPU}/cpu{core}/cpufreq/scaling_governor": None for core in (0, 1)}, None, "does not show"),
        ("turbo", {f"{CPU}/intel_pstate/no_turbo": "0"}, False, "on"),
        ("turbo", {f"{CPU}/intel_pstate/no_turbo": None, f"{CPU}/cpufreq/boost": "1"}, False, "on"),
        ("turbo", {f"{CPU}/intel_pstate/no_turbo": None, f"{CPU}/cpufreq/boost": "0"}, True, "off"),
        ("turbo", {f"{CPU}/intel_pstate/no_turbo": None}, None, "does not show"),
        (
            "turbo",
            {
                f"{CPU}/intel_pstate/no_turbo": None,
                f"{CPU}/cpufreq/boost": "1",
                f"{CPU}/cpu0/cpufreq/boost": "1",
                f"{CPU}/cpu1/cpufreq/boost": "0",
            },
            False,
            "on for some cores",
        ),
        ("smt", {f"{CPU}/smt/control": "on", f"{CPU}/smt/active": "1"}, False, "on"),
        ("smt", {f"{CPU}/smt/control": "on", f"{CPU}/smt/active": "0"}, True, "off (on)"),
        ("smt", {f"{CPU}/smt/control": None, f"{CPU}/smt/active": None}, None, "does not show"),
        ("load", {"proc/loadavg": f"{max(0.25, CORES / 10) + 0.01} 0 0 1/2 3"}, False, f"on {CORES} cores"),
        ("load", {"proc/loadavg": f"{max(0.25, CORES / 10)} 0 0 1/2 3"}, True, f"on {CORES} cores"),
        ("load", {"proc/loadavg": None}, None, "cannot be read"),
        ("aslr", {"proc/sys/kernel/randomize_va_space": "0"}, False, "off"),
        ("aslr", {"proc/sys/kernel/randomize_va_space": "1"}, False, "partial"),
        ("aslr", {"proc/self/personality": "00040000"}, False, "off for this process"),
        ("aslr", {"proc/sys/kernel/randomize_va_space": None}, None, "does not show"),
        ("clocksource", {"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet"}, False, "hpet"),
        ("clocksource", {"sys/devices/system/clocksource/clocksource0/current_clocksource": None}, None, "not show"),
        ("virtual machine", {"proc/cpuinfo": "flags\t: sse hypervisor"}, False, "unknown hypervisor"),
        (
            "virtual machine",
            {"proc/cpuinfo": "flags\t: hypervisor", "sys/class/dmi/id/sys_vendor": "QEMU"},
            False,
            "yes (QEMU)",
        ),
        ("virtual machine", {"sys/hypervisor/type": "xen"}, False, "yes (xen)"),
        ("cpu limit", {"sys/fs/cgroup/user.slice/cpu.max": "50000 100000"}, False, "0.5 cores' worth of time"),
        ("cpu limit", {"sys/fs/cgroup/user.slice/cpu.max": f"{CORES * 1000} 1000"}, True, "none below"),
        ("cpu limit", {"proc/self/cgroup": None}, None, "cannot be read"),
        ("swap", {"proc/meminfo": "SwapTotal: 4096 kB\nSwapFree: 2048 kB"}, False, "2 MiB in use"),
        ("swap", {"proc/meminfo": "SwapTotal: 0 kB\nSwapFree: 0 kB"}, True, "none"),
        ("swap", {"proc/meminfo": None}, None, "cannot be read"),
        ("power", power(AC="Mains 0", BAT0="Battery"), False, "battery"),
        ("power", power(BAT0="Battery"), None, "nothing says"),
        ("power", power(), None, "does not show"),
        ("power", power(AC="Mains 1"), True, "mains"),
        ("steal", {"proc/stat": None}, None, "cannot be read"),
        ("steal", {"proc/stat": "cpu  1 2 x"}, None, "cannot be read"),
    ],
)
def test_what_each_check_says(
    tmp_path: Path, name: str, files: dict[str, str | None], ok: bool | None, detail: str
) -> None:
    root = describe(tmp_path, **files)
    check = verdicts(root)[name]
    assert check.ok is ok, check
    assert detail in check.detail
    assert bool(check.fix) == (ok is False)
    if name != "steal":
        assert (f"{name}: {check.detail}" in system_warnings(root)) == (ok is False)


def test_a_mouse_without_a_battery_is_no_battery(tmp_path: Path) -> None:
    files = power(mouse="Battery") | {"sys/class/power_supply/mouse/scope": "Device"}
    assert verdicts(describe(tmp_path, **files))["power"] == SystemCheck("power", True, "no battery")


def test_stolen_time_is_that_of_the_interval(tmp_path: Path) -> None:
    root = describe(tmp_path, proc__stat="cpu  100 0 100 700 0 0 0 100 40 0")
    reading = cpu_times(root)
    assert reading is not None
    # Guest ticks are user ticks already, and what was stolen before the interval does not count.
    assert (reading.total, reading.stolen) == (1_000, 100)
    assert verdicts(root, stolen=-100)["steal"].ok
    assert not verdicts(root, stolen=-97)["steal"].ok
    assert "3.0% of the CPU time" in verdicts(root, stolen=-97)["steal"].detail
    one_tick = system_checks(root, CpuTimes(time.monotonic(), 990, 99))[-1]
    assert one_tick.ok


def test_the_fix_for_turbo_is_the_drivers(tmp_path: Path) -> None:
    changes: dict[str, str | None] = {f"{CPU}/intel_pstate/no_turbo": "0"}
    assert verdicts(describe(tmp_path / "a", **changes))["turbo"].fix.startswith("echo 1 | sudo tee")
    changes = {f"{CPU}/intel_pstate/no_turbo": None, f"{CPU}/cpufreq/boost": "1"}
    changes[f"{CPU}/cpu0/cpufreq/scaling_driver"] = "acpi-cpufreq"
    fix = verdicts(describe(tmp_path / "b", **changes))["turbo"].fix
    assert fix == "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost"


def test_the_facts_of_a_machine(tmp_path: Path) -> None:
    root = describe(tmp_path)
    cpu = machine.cpu(root)
    assert cpu["model"] == "Fast 9000"
    assert cpu["family_model_stepping"] == ["6", "7", "1"]
    assert cpu["flags"] == ["avx2", "sse"]
    assert (cpu["mhz"], cpu["mhz_max"]) == (2000.5, 3500.0)
    assert (cpu["governor"], cpu["governor_per_core"], cpu["turbo"]) == ("performance", None, False)
    assert (cpu["cores_isolated"], cpu["smt"], cpu["hypervisor"]) == ("1-3", "off", False)
    assert machine.memory(root) == {
        "total_bytes": 1_024_000,
        "available_bytes": 614_400,
        "swap_bytes": 102_400,
        "swap_used_bytes": 0,
        "huge_pages": 4,
    }
    assert machine.tasks(root) == {"runnable": 2, "total": 345}
    assert machine.kernel_options(root) == ["isolcpus=1-3", "mitigations=off"]
    assert machine.numa(root) == {"nodes": {"0": "0-1", "1": "2-3"}, "balancing": "0"}
    assert machine.transparent_hugepages(root) == {"enabled": "madvise", "defrag": "defer+madvise"}
    assert machine.cgroup_limits(root) == {"limited": False, "cores": None, "cpuset": "0-3", "memory_bytes": 4096}
    assert machine.container(root, {}) is None


def test_what_differs_between_cores_is_said(tmp_path: Path) -> None:
    cpu = machine.cpu(describe(tmp_path, **{f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave"}))
    assert cpu["governor"] == "mixed"
    assert cpu["governor_per_core"] == {"performance": [0], "powersave": [1]}


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    files: dict[str, str | None] = {name: None for name in QUIET if "cgroup" in name}
    files |= {
        "proc/self/cgroup": "3:cpu,cpuacct:/box\n2:cpuset:/box\n1:memory:/box\n0::/",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "150000",
        "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpuset/box/cpuset.effective_cpus": "0-1",
        "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "9223372036854771712",
    }
    root = describe(tmp_path, **files)
    assert machine.cgroup_limits(root) == {"limited": True, "cores": 1.5, "cpuset": "0-1", "memory_bytes": None}
    # A container sees its own group as the root of the mount.
    (root / "proc/self/cgroup").write_text("3:cpu,cpuacct:/elsewhere\n")
    assert machine.cgroup_limits(root)["limited"] is False


def test_containers(tmp_path: Path) -> None:
    assert machine.container(describe(tmp_path, proc__1__cgroup="0::/lxc/x"), {}) == "lxc"
    assert machine.container(tmp_path, {"KUBERNETES_SERVICE_HOST": "x"}) == "kubernetes"
    (tmp_path / ".dockerenv").touch()
    assert machine.container(tmp_path, {"KUBERNETES_SERVICE_HOST": "x"}) == "docker"


def test_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (user@host)"
    files = {"proc/driver/nvidia/version": version, "etc/OpenCL/vendors/pocl.icd": "/usr/lib/secret.so"}
    root = describe(tmp_path, **files)
    monkeypatch.delenv("OCL_ICD_VENDORS", raising=False)
    assert machine.drivers(root) == {"nvidia": "570.86.15", "opencl_vendors": ["pocl.icd"]}
    (root / "proc/driver/nvidia/version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue")
    monkeypatch.setenv("OCL_ICD_VENDORS", str(tmp_path / "nowhere"))
    assert machine.drivers(root)["nvidia"] == "535.54.03"


FACTS: list[Callable[[Path], Any]] = [
    machine.cpu,
    machine.memory,
    machine.tasks,
    machine.kernel_options,
    machine.clocksource,
    machine.aslr,
    machine.transparent_hugepages,
    machine.numa,
    machine.virtual_machine,
    machine.cgroup_limits,
    machine.drivers,
    system_checks,
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.__name__)
def test_a_machine_that_says_nothing_costs_no_error(fact: Callable[[Path], Any], tmp_path: Path) -> None:
    fact(tmp_path)
    describe(tmp_path, **dict.fromkeys(QUIET, "\0 garbage: ] : [ -1 max x"))
    fact(tmp_path)


def test_nothing_said_is_unknown(tmp_path: Path) -> None:
    checks = system_checks(tmp_path)
    assert {check.ok for check in checks} == {None}


def test_this_machine_within_its_interval() -> None:
    began = time.monotonic()
    checks = system_checks()
    assert time.monotonic() - began >= system.INTERVAL_S - 0.01
    assert len({check.name for check in checks}) == len(checks) == 11
    for check in checks:
        assert bool(check.fix) == (check.ok is False)


@pytest.mark.slow
def test_doctor_gives_advice_and_never_fails_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = [SystemCheck("turbo", False, "on", "turn it off"), SystemCheck("smt", None, "not shown")]
    monkeypatch.setattr(doctor, "system_checks", lambda: noisy)
    status = cli.main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in document["checks"]}
    assert rows["system turbo"] == {
        "name": "system turbo",
        "ok": False,
        "required": False,
        "advice": True,
        "detail": "on",
        "fix": "turn it off",
    }
    assert rows["system smt"]["ok"] is None
    failing = [name for name, row in rows.items() if row["required"] and not row["ok"]]
    assert (status, document["ok"]) == ((1, False) if failing else (0, True))
    cli.main(["doctor"])
    text = capsys.readouterr().out
    assert [line.split()[2] for line in text.splitlines() if line.split()[:1] == ["system"]] == ["advice", "unknown"]


def test_own_work_is_no_load_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"proc/uptime": "1000.0 1.0", "proc/self/stat": f"7 (a) b) R {'0 ' * 18}{94_000} 0"}
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    monkeypatch.setattr(os, "times", lambda: os.times_result((90.0, 30.0, 0.0, 0.0, 0.0)))
    # Busy with 2 cores for the 60 s of its life: 1 - 1/e of that is in the average of one minute.
    root = describe(tmp_path, **files, proc__loadavg="1.40 0 0 1/2 3")
    assert system._own_load(root) == pytest.approx(2 * (1 - 2.718281828**-1), rel=1e-6)
    monkeypatch.setattr(system, "ROOT", root)
    check = system._load(root, {"cores_usable": 2})
    assert check.ok
    assert "about 1.26 of it by this process" in check.detail
    (root / "proc/loadavg").write_text("1.60 0 0 1/2 3")
    assert not system._load(root, {"cores_usable": 2}).ok
