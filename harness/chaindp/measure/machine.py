"""What Linux tells of the machine: CPU, clocks, memory, limits, virtualization. Only reads; null is "cannot be read".

Every function takes ``root``, the folder that ``proc`` and ``sys`` lie in, so that a test can describe another machine.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

__all__ = [
    "KERNEL_OPTIONS",
    "ROOT",
    "aslr",
    "cgroup_limits",
    "clocksource",
    "container",
    "cpu",
    "drivers",
    "kernel_options",
    "memory",
    "numa",
    "read",
    "tasks",
    "transparent_hugepages",
    "virtual_machine",
]

ROOT = Path("/")

KERNEL_OPTIONS = frozenset(
    "amd_pstate clocksource cpufreq.default_governor cpuidle.governor default_hugepagesz hugepages hugepagesz idle "
    "init_on_alloc init_on_free intel_idle.max_cstate intel_pstate irqaffinity isolcpus kpti l1tf mce mds mitigations "
    "nohz nohz_full nokaslr norandmaps nopti nosmt nospectre_v1 nospectre_v2 nowatchdog numa_balancing preempt "
    "processor.max_cstate pti rcu_nocbs retbleed skew_tick spec_store_bypass_disable spectre_v2 threadirqs "
    "transparent_hugepage tsc tsx".split()
)
"""Options of the kernel's command line that change what a benchmark measures. No other one is recorded: the line also
names disks, addresses and whatever else the machine's owner put there."""

_ADDR_NO_RANDOMIZE = 0x0040000  # personality(2)
_NO_LIMIT = 1 << 60  # cgroup v1 writes "no limit" as the largest page-aligned int64


def read(path: str, root: Path = ROOT) -> str | None:
    """The stripped text of a file below ``root``, without its first slash; None where it cannot be read."""
    try:
        return (root / path).read_text(errors="replace").strip()
    except OSError:
        return None


def cpu(root: Path = ROOT) -> dict[str, object]:
    """Model, flags, cores, clocks, governor and turbo of the CPU.

    ``governor_per_core`` and ``turbo_per_core`` are null unless cores differ; then they map a value to its cores, and
    ``governor`` is ``mixed``, ``turbo`` null. MHz are of the first core: now, and the most that it may reach.
    """
    info = read("proc/cpuinfo", root) or ""
    flags = (_field(info, "flags") or _field(info, "Features") or "").split()
    governor, governors = _agreed(_per_core("cpufreq/scaling_governor", root))
    turbo, turbos = _turbo(root)
    limit = _number(read("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", root))
    return {
        "model": _field(info, "model name") or platform.processor() or None,
        "architecture": platform.machine(),
        "family_model_stepping": [_field(info, name) for name in ("cpu family", "model", "stepping")],
        "microcode": _field(info, "microcode"),
        "flags": sorted(flags),
        "cores_logical": os.cpu_count(),
        "cores_physical": _physical_cores(),
        "cores_usable": len(os.sched_getaffinity(0)),
        "cores_isolated": read("sys/devices/system/cpu/isolated", root),
        "mhz": _number(_field(info, "cpu MHz")),
        "mhz_max": None if limit is None else limit / 1e3,
        "frequency_driver": read("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", root),
        "governor": "mixed" if governors else governor,
        "governor_per_core": governors,
        "turbo": turbo,
        "turbo_per_core": turbos,
        "smt": read("sys/devices/system/cpu/smt/control", root),
        "hypervisor": "hypervisor" in flags,
    }


def memory(root: Path = ROOT) -> dict[str, object]:
    """Bytes of memory and swap, in all and free or used now, and how many huge pages are set aside."""
    info = read("proc/meminfo", root) or ""

    def size(name: str) -> int | None:
        match = re.search(rf"^{name}:\s+(\d+) kB$", info, re.MULTILINE)
        return int(match[1]) * 1024 if match else None

    swap, free = size("SwapTotal"), size("SwapFree")
    pages = _field(info, "HugePages_Total")
    return {
        "total_bytes": size("MemTotal"),
        "available_bytes": size("MemAvailable"),
        "swap_bytes": swap,
        "swap_used_bytes": None if swap is None or free is None else swap - free,
        "huge_pages": int(pages) if pages and pages.isdecimal() else None,
    }


def tasks(root: Path = ROOT) -> dict[str, int] | None:
    """How many threads of all processes are running or ready to run, this one included, and how many there are."""
    match = re.search(r"(\d+)/(\d+)", read("proc/loadavg", root) or "")
    return {"runnable": int(match[1]), "total": int(match[2])} if match else None


def kernel_options(root: Path = ROOT) -> list[str] | None:
    """Those words of the kernel's command line whose option is one of KERNEL_OPTIONS, in order."""
    line = read("proc/cmdline", root)
    if line is None:
        return None
    # What follows "--" is for the first process.
    words = re.split(r"(?:^| )--(?: |$)", line, maxsplit=1)[0].split()
    return [word for word in words if word.partition("=")[0].replace("-", "_") in KERNEL_OPTIONS]


def clocksource(root: Path = ROOT) -> str | None:
    """What the kernel reads the time from, such as ``tsc``."""
    return read("sys/devices/system/clocksource/clocksource0/current_clocksource", root)


def aslr(root: Path = ROOT) -> dict[str, object]:
    """The system's level of address space randomization (2 is full), and whether it is off for this process."""
    level, personality = read("proc/sys/kernel/randomize_va_space", root), read("proc/self/personality", root)
    bits = re.fullmatch(r"[0-9a-f]+", personality or "")
    return {
        "randomize_va_space": int(level) if level and level.isdecimal() else None,
        "disabled_for_process": bool(int(bits[0], 16) & _ADDR_NO_RANDOMIZE) if bits else None,
    }


def transparent_hugepages(root: Path = ROOT) -> dict[str, str | None]:
    """The chosen words of ``enabled`` and ``defrag``."""
    folder = "sys/kernel/mm/transparent_hugepage"
    return {name: _chosen(read(f"{folder}/{name}", root)) for name in ("enabled", "defrag")}


def numa(root: Path = ROOT) -> dict[str, object] | None:
    """The cores of every NUMA node, and whether the kernel moves memory between nodes by itself."""
    folder = root / "sys/devices/system/node"
    nodes = sorted(int(path.name[4:]) for path in folder.glob("node[0-9]*")) if folder.is_dir() else []
    if not nodes:
        return None
    return {
        "nodes": {str(node): read(f"sys/devices/system/node/node{node}/cpulist", root) for node in nodes},
        "balancing": read("proc/sys/kernel/numa_balancing", root),
    }


def container(root: Path = ROOT, variables: Mapping[str, str] | None = None) -> str | None:
    """What kind of container this looks like; null where nothing hints at one."""
    for path, kind in ((".dockerenv", "docker"), ("run/.containerenv", "podman")):
        if (root / path).exists():
            return kind
    if (os.environ if variables is None else variables).get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    match = re.search(r"docker|kubepods|containerd|lxc|libpod", read("proc/1/cgroup", root) or "")
    return match[0] if match else None


def virtual_machine(root: Path = ROOT) -> dict[str, object]:
    """``present``: whether this is a virtual machine, null where nothing says so; ``vendor``: of which hypervisor."""
    flag = "hypervisor" in (_field(read("proc/cpuinfo", root) or "", "flags") or "").split()
    detected = _detect_virt() if root == ROOT else None
    if detected is not None and detected != "none":
        return {"present": True, "vendor": detected}
    vendor = read("sys/hypervisor/type", root)
    if flag or vendor:
        # Of real hardware these files would name the model and its maker, which is more than "not virtual" needs.
        board = [read(f"sys/class/dmi/id/{name}", root) for name in ("sys_vendor", "product_name")]
        return {"present": True, "vendor": vendor or " ".join(part for part in board if part) or None}
    return {"present": False if detected == "none" else None, "vendor": None}


def cgroup_limits(root: Path = ROOT) -> dict[str, object]:
    """What the control groups above this process allow it: cores' worth of CPU time, cores, bytes of memory.

    ``limited`` is null where no group could be read, false where there is no limit on CPU time. Versions 1 and 2.
    """
    groups = read("proc/self/cgroup", root) or ""
    unified = re.search(r"^0::(/.*)$", groups, re.MULTILINE)
    version = 2 if (root / "sys/fs/cgroup/cgroup.controllers").exists() else 1
    if version == 2:
        folders = _ancestors(root, "sys/fs/cgroup", unified[1] if unified else "/")
        pairs = [(read("cpu.max", folder) or "").split() for folder in folders]
        quotas = [_quota(*pair) for pair in pairs if len(pair) == 2]
        cpuset, most = _first(folders, "cpuset.cpus.effective"), _lowest(folders, "memory.max")
        # A group without the file has no limit of its own.
        known = unified is not None
    else:
        folders = _version_1(root, groups, "cpu")
        times = [
            (read("cpu.cfs_quota_us", folder) or "", read("cpu.cfs_period_us", folder) or "") for folder in folders
        ]
        quotas = [_quota(*pair) for pair in times]
        cpuset = _first(_version_1(root, groups, "cpuset"), "cpuset.effective_cpus")
        most = _lowest(_version_1(root, groups, "memory"), "memory.limit_in_bytes")
        known = any(quota for quota, _ in times)
    cores = [quota for quota in quotas if quota is not None]
    return {
        "limited": bool(cores) if known or cores else None,
        "cores": min(cores, default=None),
        "cpuset": cpuset,
        "memory_bytes": most,
    }


def drivers(root: Path = ROOT) -> dict[str, object]:
    """Version of the NVIDIA kernel module, and the file names of the installed OpenCL drivers."""
    module = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", read("proc/driver/nvidia/version", root) or "")
    folders = [root / "etc/OpenCL/vendors"]
    if os.environ.get("OCL_ICD_VENDORS"):
        folders.append(Path(os.environ["OCL_ICD_VENDORS"]))
    files = {path.name for folder in folders if folder.is_dir() for path in folder.glob("*.icd")}
    return {"nvidia": module[1] if module else None, "opencl_vendors": sorted(files)}


def _field(info: str, name: str) -> str | None:
    match = re.search(rf"^{re.escape(name)}[ \t]*:[ \t]*(.*)$", info, re.MULTILINE)
    return match[1].strip() if match else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _chosen(text: str | None) -> str | None:
    """The word in brackets of a file such as ``always [madvise] never``."""
    match = re.search(r"\[([\w+-]+)\]", text or "")
    return match[1] if match else None


def _per_core(name: str, root: Path) -> dict[int, str]:
    """Core number to the text of one of its files, for the cores that have it."""
    folder = root / "sys/devices/system/cpu"
    cores = sorted(int(path.name[3:]) for path in folder.glob("cpu[0-9]*"))
    texts = ((core, read(f"cpu{core}/{name}", folder)) for core in cores)
    return {core: text for core, text in texts if text}


def _agreed(values: Mapping[int, str]) -> tuple[str | None, dict[str, list[int]] | None]:
    """The one value of all cores; or None and, where they differ, the cores of every value."""
    cores: dict[str, list[int]] = {}
    for core, value in values.items():
        cores.setdefault(value, []).append(core)
    return (None, cores) if len(cores) > 1 else (next(iter(cores), None), None)


def _turbo(root: Path) -> tuple[bool | None, dict[str, list[int]] | None]:
    """Whether the clock may go above its base; the cores with it on and off where they differ."""
    no_turbo = read("sys/devices/system/cpu/intel_pstate/no_turbo", root)
    if no_turbo is not None:
        return no_turbo == "0", None
    boost = read("sys/devices/system/cpu/cpufreq/boost", root)
    if boost == "0":
        return False, None
    words = {core: "on" if text == "1" else "off" for core, text in _per_core("cpufreq/boost", root).items()}
    one, differing = _agreed(words)
    if differing:
        return None, differing
    return (one == "on" if one else None if boost is None else boost == "1"), None


def _physical_cores() -> int | None:
    import psutil

    cores: int | None = psutil.cpu_count(logical=False)
    return cores


def _detect_virt() -> str | None:
    """What ``systemd-detect-virt`` says of virtual machines; it exits 1 and prints ``none`` on real hardware."""
    if shutil.which("systemd-detect-virt") is None:
        return None
    try:
        done = subprocess.run(
            ["systemd-detect-virt", "--vm"], capture_output=True, text=True, timeout=5, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _ancestors(root: Path, mount: str, path: str) -> list[Path]:
    """The folders of a control group and of all groups above it, as far as they are seen from here."""
    top = root / mount
    below = top.joinpath(*(part for part in path.split("/") if part not in ("", ".", "..")))
    folders = [below, *below.parents][: len(below.parts) - len(top.parts) + 1]
    return [folder for folder in folders if folder.is_dir()]


def _version_1(root: Path, groups: str, controller: str) -> list[Path]:
    for line in groups.splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if controller in names.split(","):
            mounts = [f"sys/fs/cgroup/{names}", f"sys/fs/cgroup/{controller}"]
            return [folder for mount in mounts for folder in _ancestors(root, mount, path)]
    return []


def _quota(quota: str, period: str) -> float | None:
    """Cores' worth of CPU time; None for no limit (``max``, -1) or what is not a number."""
    if not (quota.isdecimal() and period.isdecimal()) or int(period) == 0:
        return None
    return int(quota) / int(period)


def _first(folders: list[Path], name: str) -> str | None:
    return next((text for text in (read(name, folder) for folder in folders) if text), None)


def _lowest(folders: list[Path], name: str) -> int | None:
    limits = [int(text) for text in (read(name, folder) for folder in folders) if text and text.isdecimal()]
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)
