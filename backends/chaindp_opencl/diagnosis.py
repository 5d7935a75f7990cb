"""What ``chaindp doctor`` says of OpenCL: which drivers are there, whether they work, and what to install.

A driver that is broken may end the process that loads it, or hang in it, so everything that loads one is done in
processes of their own.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chaindp.backend import Finding
from chaindp.errors import ChaindpError
from chaindp_opencl import driver, icd

__all__ = ["FOR_ANY_CPU", "diagnose", "gpus", "load_library", "look", "try_kernel"]

ROOT = Path("/")

SECONDS = 60
"""How long a driver may take to load, to list its devices or to build a small kernel."""

FOR_ANY_CPU = "as root: apt-get install pocl-opencl-icd" + (
    "; without: pip install intel-opencl-rt intel-cmplr-lib-rt (0.8 GB)" if platform.machine() == "x86_64" else ""
)
"""How to get a driver that needs no GPU."""

NO_CACHES = {"PYOPENCL_NO_CACHE": "1", "POCL_KERNEL_CACHE": "0", "CUDA_CACHE_DISABLE": "1", "NEO_CACHE_PERSISTENT": "0"}
"""Environment in which a compiler has to compile."""

KERNEL = """
__kernel void probe(__global ulong *words, __local ulong *shared)
{
    size_t i = get_local_id(0), n = get_local_size(0);
    shared[i] = rotate(words[get_global_id(0)], 13UL) ^ 0x9e3779b97f4a7c15UL;
    barrier(CLK_LOCAL_MEM_FENCE);
    words[get_global_id(0)] = shared[n - 1 - i];
}
"""

NVIDIA_LIBRARY = "libnvidia-opencl.so.1"

VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
"""PCI vendor id to the alias of the vendor."""


def diagnose() -> Sequence[Finding]:
    """What is there, what is missing and what to do about it, in the order in which one would mend it."""
    seen, problem = _alone("look")
    findings = [_pyopencl(seen), *_files()]
    devices: list[dict[str, Any]] = []
    if seen.get("pyopencl"):
        devices = seen["devices"]
        findings += [_platform(entry) for entry in seen["platforms"]]
        findings += [_device(device) for device in devices]
    elif problem and not seen:
        fix = "uninstall or mend one of them: a process that asks for a device loads all"
        findings.append(Finding("drivers", False, f"loading all drivers and listing their devices {problem}", fix))
    if not devices and all(finding.ok is not False for finding in findings):
        findings.append(Finding("devices", False, "no driver offers one", FOR_ANY_CPU))
    served = {vendor for device in devices if device["kind"] != "cpu" for vendor in device["vendors"]}
    there = gpus()
    if not served and not there:
        findings.append(Finding("gpu", None, "this machine shows none"))
    return [*findings, *(_undriven(vendor, names) for vendor, names in there.items() if vendor not in served)]


def _pyopencl(seen: dict[str, Any]) -> Finding:
    if importlib.util.find_spec("pyopencl") is None:
        return Finding("pyopencl", False, "not installed", driver.INSTALL_PYOPENCL)
    if seen.get("error"):
        return Finding("pyopencl", False, seen["error"], driver.INSTALL_PYOPENCL)
    version = importlib.metadata.version("pyopencl")
    return Finding("pyopencl", True, f"{version}, loader {seen.get('loader') or 'unknown'}")


def _files() -> list[Finding]:
    """The .icd files, whether the library of each can be loaded, and variables that change which are read."""
    findings = []
    replaced = icd.chosen()
    if replaced is not None:
        name, value = replaced
        detail = f"set to {value}, which is read instead of {icd.SYSTEM} and {icd.own_folder()}"
        findings.append(Finding(name, None, detail))
    if os.environ.get("OCL_ICD_FILENAMES"):
        detail = "set; the loader that pyopencl's wheels bring does not read it, Khronos's does"
        findings.append(Finding("OCL_ICD_FILENAMES", None, detail))
    files = icd.files()
    if not files:
        if replaced is None:
            detail, fix = f"no .icd file in {icd.SYSTEM} or {icd.own_folder()}", FOR_ANY_CPU
        else:
            detail, fix = f"no .icd file in {replaced[1]}", f"unset {replaced[0]}, or {FOR_ANY_CPU}"
        findings.append(Finding("drivers", False, detail, fix))
    return [*findings, *(_file(file) for file in files)]


def _file(file: icd.IcdFile) -> Finding:
    name = f"driver {file.path.name}"
    replaced = icd.chosen()
    if replaced is not None and not replaced[1].is_dir():
        # The user's own word, which no package put there: nothing to reinstall.
        fix = f"unset {replaced[0]}, or set it to a folder of .icd files, an .icd file or a library that exists"
    else:
        fix = f"reinstall the driver that {file.path} is of, or remove that file"
    if not file.library:
        there = file.path.exists()
        detail = "the file cannot be read or names no library" if there else f"{file.path} does not exist"
        return Finding(name, False, detail, fix)
    _, problem = _alone("load_library", file.library)
    if problem:
        return Finding(name, False, f"{file.library} {problem}", fix)
    return Finding(name, True, f"{file.library} loads")


def _platform(entry: dict[str, Any]) -> Finding:
    name = f"platform {entry['name']}"
    if entry["error"]:
        return Finding(name, False, f"cannot list its devices: {entry['error']}", "reinstall or update this driver")
    if entry["devices"]:
        return Finding(name, True, f"{entry['version']}, devices: {entry['devices']}")
    if "rusticl" in entry["name"].lower() and not os.environ.get("RUSTICL_ENABLE"):
        fix = "set RUSTICL_ENABLE to the driver of the GPU: radeonsi (AMD), iris (Intel), nouveau (NVIDIA)"
        return Finding(name, None, "no device: it offers none before it is told to", fix)
    return Finding(name, None, "no device that it can drive, or may open")


def _device(device: dict[str, Any]) -> Finding:
    name = f"device {device['index']}"
    _, problem = _alone("try_kernel", str(device["index"]))
    if not problem:
        return Finding(name, True, f"{device['name']} ({device['platform']}) builds and runs a kernel right")
    fix = "update or reinstall its driver"
    if "unknown target CPU" in problem:
        fix = f"its compiler is older than this CPU: pip uninstall pocl-binary-distribution; {FOR_ANY_CPU}"
    return Finding(name, False, f"{device['name']} ({device['platform']}): a kernel {problem}", fix)


def gpus() -> dict[str, list[str]]:
    """Vendor to its GPUs and accelerators: those on the PCI bus, and those that only a kernel driver tells of."""
    found: dict[str, list[str]] = {}
    for device in sorted((ROOT / "sys/bus/pci/devices").glob("*")):
        vendor = VENDORS.get(_read(device / "vendor"))
        # Display controllers and processing accelerators.
        if vendor and _read(device / "class")[:4] in ("0x03", "0x12"):
            module = (device / "driver").resolve().name if (device / "driver").exists() else "no kernel driver"
            found.setdefault(vendor, []).append(f"{device.name} ({module})")
    for entry in sorted((ROOT / "proc/driver/nvidia/gpus").glob("*")):
        if not any(name.startswith(entry.name) for name in found.get("nvidia", [])):
            found.setdefault("nvidia", []).append(f"{entry.name} (nvidia)")
    return found


def _undriven(vendor: str, names: Sequence[str]) -> Finding:
    """A GPU that the machine has and that no OpenCL driver offers."""
    fix = {"nvidia": _for_nvidia, "amd": _for_amd, "intel": _for_intel}[vendor]()
    return Finding(f"gpu {vendor}", False, f"{', '.join(names)}: no OpenCL driver offers it", fix)


def _for_nvidia() -> str:
    if not (ROOT / "proc/driver/nvidia/version").exists():
        return "install NVIDIA's driver: apt-get install nvidia-driver nvidia-opencl-icd (Debian, from non-free)"
    _, problem = _alone("load_library", NVIDIA_LIBRARY)
    if not problem and not any(NVIDIA_LIBRARY in file.library for file in icd.files()):
        folder = icd.own_folder()
        return f"mkdir -p {folder} && echo {NVIDIA_LIBRARY} > {folder}/nvidia.icd"
    if not problem:
        return "make /dev/nvidia* accessible: nvidia-smi says what is wrong"
    if _in_container():
        return "start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility (docker: --gpus all -e ...)"
    return (
        f"install {NVIDIA_LIBRARY} of the driver's version: apt-get install nvidia-opencl-icd (Debian, from non-free), "
        "libnvidia-compute-VERSION (Ubuntu)"
    )


def _for_amd() -> str:
    if (ROOT / "dev/kfd").exists() and not _may_open("dev/kfd"):
        return GROUPS
    return (
        "AMD's ROCm: apt-get install rocm-opencl-icd (Debian 13 and later) or rocm-opencl-runtime (AMD's repository); "
        "or Mesa's: apt-get install mesa-opencl-icd and set RUSTICL_ENABLE=radeonsi"
    )


def _for_intel() -> str:
    if (ROOT / "dev/dri").exists() and not _may_open("dev/dri/renderD*"):
        return GROUPS
    return "apt-get install intel-opencl-icd"


GROUPS = "let this user open the GPU: usermod -aG render,video USER as root, then log in again"


def _may_open(pattern: str) -> bool:
    return any(os.access(node, os.R_OK | os.W_OK) for node in ROOT.glob(pattern))


def _in_container() -> bool:
    # systemd-nspawn and podman set the variable; docker and podman leave the files.
    return "container" in os.environ or any((ROOT / mark).exists() for mark in (".dockerenv", "run/.containerenv"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


# Run in processes of their own, with text for arguments and JSON for an answer.


def load_library(library: str) -> dict[str, Any]:
    """Load a driver's library as the loader would; ``error`` says why that fails."""
    try:
        ctypes.CDLL(library)
    except OSError as error:
        return {"error": " ".join(str(error).split())}
    return {"error": ""}


def look() -> dict[str, Any]:
    """What ``driver.environment`` has of loaded drivers; ``error`` where pyopencl does not work."""
    try:
        driver.load()
        return driver.environment()
    except ChaindpError as error:
        return {"error": str(error)}


def try_kernel(index: str) -> dict[str, Any]:
    """Build a kernel of 64-bit words and local memory on a device, run it and compare; ``error`` says what is wrong."""
    try:
        device = driver.select(index)
        cl = driver.load()
        with driver.guarded("opencl", "a first kernel"), warnings.catch_warnings():
            # The log of some compilers is never empty.
            warnings.simplefilter("ignore", cl.CompilerWarning)
            context = cl.Context([device.handle])
            queue = cl.CommandQueue(context)
            program = cl.Program(context, KERNEL).build()
            words = np.random.default_rng(1).integers(0, 2**64, 256, dtype=np.uint64)
            buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR, hostbuf=words)
            group = min(16, device.max_group)
            cl.Kernel(program, "probe")(queue, (len(words),), (group,), buffer, cl.LocalMemory(8 * group))
            seen = np.empty_like(words)
            cl.enqueue_copy(queue, seen, buffer)
    except ChaindpError as error:
        return {"error": str(error)}
    turned = (words << np.uint64(13) | words >> np.uint64(51)) ^ np.uint64(0x9E3779B97F4A7C15)
    if not np.array_equal(seen, turned.reshape(-1, group)[:, ::-1].ravel()):
        return {"error": "computes wrong words"}
    return {"error": ""}


CHILD = """
import json, sys
from chaindp_opencl import diagnosis
print(json.dumps(getattr(diagnosis, sys.argv[1])(*sys.argv[2:])))
"""


def _alone(function: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """Run a function above in a process of its own: its answer, and in words what is wrong, empty where nothing is."""
    command = [sys.executable, "-P", "-c", CHILD, function, *arguments]
    variables = {**os.environ, **NO_CACHES}
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, env=variables)
    except subprocess.TimeoutExpired:
        return {}, f"does not end within {SECONDS} s"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    last = f": {' '.join(said[-1].split())[:200]}" if said else ""
    if done.returncode < 0:
        return {}, f"ends the process with signal {-done.returncode}{last}"
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {}, f"ends the process with status {done.returncode}{last}"
    return answer, f"fails: {answer['error']}" if answer.get("error") else ""
