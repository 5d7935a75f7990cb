"""What doctor is told of OpenCL drivers: those of this machine, and broken ones that are played."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaindp.backend import Finding
from chaindp_opencl import diagnosis, driver, icd

ALONE = diagnosis._alone


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without drivers, GPUs and variables."""
    for name in (*icd.VARIABLES, "OCL_ICD_FILENAMES", "RUSTICL_ENABLE", "container"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(icd, "SYSTEM", tmp_path / "system")
    monkeypatch.setattr(icd, "_bundled", list)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(diagnosis, "ROOT", tmp_path)
    return tmp_path


def answers(monkeypatch: pytest.MonkeyPatch, **given: Any) -> None:
    """Play the functions that run in processes of their own: a problem as text, or an answer."""

    def alone(function: str, *arguments: str) -> tuple[dict[str, Any], str]:
        found = given.get("_".join([function, *arguments]).replace(".", "_"), given.get(function, {}))
        return ({}, found) if isinstance(found, str) else (found, "")

    monkeypatch.setattr(diagnosis, "_alone", alone)


def environment(platforms: list[dict[str, Any]], devices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"pyopencl": "1", "loader": "libOpenCL.so.1", "platforms": platforms, "devices": devices}


def platform(name: str, devices: int, error: str = "") -> dict[str, Any]:
    return {"name": name, "version": "OpenCL 3.0", "devices": devices, "error": error}


def device(kind: str, *vendors: str) -> dict[str, Any]:
    return {"index": 0, "name": "D", "platform": "P", "kind": kind, "vendors": list(vendors)}


def findings() -> dict[str, Finding]:
    found = diagnosis.diagnose()
    assert len({finding.name for finding in found}) == len(found)
    for finding in found:
        assert finding.detail
        assert "\n" not in finding.detail + finding.fix
        if finding.ok is False:
            assert finding.fix, finding
        if finding.ok:
            assert not finding.fix, finding
    return {finding.name: finding for finding in found}


def test_this_machine() -> None:
    found = findings()
    assert found["pyopencl"].ok
    for name, finding in found.items():
        if name.startswith("device "):
            assert finding.ok, finding


def test_no_driver_at_all(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, look=environment([], []))
    found = findings()
    assert set(found) == {"pyopencl", "drivers", "gpu"}
    assert found["drivers"].ok is False
    assert "apt-get install pocl-opencl-icd" in found["drivers"].fix
    assert found["gpu"] == Finding("gpu", None, "this machine shows none")


def test_a_variable_that_hides_the_drivers(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "empty").mkdir()
    monkeypatch.setenv("OCL_ICD_VENDORS", str(bare / "empty"))
    monkeypatch.setenv("OCL_ICD_FILENAMES", "libx.so")
    answers(monkeypatch, look=environment([], []))
    found = findings()
    assert found["OCL_ICD_VENDORS"].ok is None
    assert "does not read it" in found["OCL_ICD_FILENAMES"].detail
    assert found["drivers"].fix.startswith("unset OCL_ICD_VENDORS")


@pytest.mark.parametrize("value", ["/nonexistent", "gone.icd", "/nowhere/gone.icd"])
def test_a_variable_that_names_what_is_not_there(bare: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OCL_ICD_VENDORS", value)
    problem = "fails: cannot open shared object file"
    answers(monkeypatch, look=environment([], []), load_library=problem)
    found = findings()
    (row,) = [finding for name, finding in found.items() if name.startswith("driver ")]
    assert row.ok is False
    assert "does not exist" in row.detail or "cannot open" in row.detail
    assert row.fix.startswith("unset OCL_ICD_VENDORS, or set it to ")
    assert "reinstall" not in row.fix


def test_files_that_name_no_library_that_loads(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    icd.SYSTEM.mkdir()
    for name, text in {"gone": "libgone.so.1\n", "empty": "\n", "good": "libgood.so"}.items():
        (icd.SYSTEM / f"{name}.icd").write_text(text)
    answers(
        monkeypatch,
        look=environment([platform("P", 1)], [device("cpu")]),
        load_library_libgone_so_1="fails: libgone.so.1: cannot open shared object file",
    )
    found = findings()
    assert found["driver gone.icd"].ok is False
    assert "cannot open shared object file" in found["driver gone.icd"].detail
    assert str(icd.SYSTEM / "gone.icd") in found["driver gone.icd"].fix
    assert found["driver empty.icd"].ok is False
    assert found["driver good.icd"].ok
    assert found["device 0"].ok


def test_platforms_without_devices(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    icd.SYSTEM.mkdir()
    (icd.SYSTEM / "rusticl.icd").write_text("libRusticlOpenCL.so.1")
    platforms = [platform("rusticl", 0), platform("Broken", 0, "OUT_OF_HOST_MEMORY"), platform("Idle", 0)]
    answers(monkeypatch, look=environment(platforms, []))
    found = findings()
    assert found["platform rusticl"].ok is None
    assert "RUSTICL_ENABLE" in found["platform rusticl"].fix
    assert found["platform Broken"].ok is False
    assert found["platform Idle"].ok is None
    answers(monkeypatch, look=environment([platform("Idle", 0)], []))
    assert "apt-get" in findings()["devices"].fix


def test_a_compiler_that_does_not_know_the_cpu(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = "fails: opencl: a first kernel: a program does not build: error: unknown target CPU 'generic'"
    answers(monkeypatch, look=environment([platform("P", 1)], [device("cpu")]), try_kernel=problem)
    found = findings()["device 0"]
    assert found.ok is False
    assert "unknown target CPU 'generic'" in found.detail
    assert "pip uninstall pocl-binary-distribution" in found.fix


def pci(root: Path, address: str, vendor: str, kind: str, module: str = "") -> None:
    folder = root / "sys" / "bus" / "pci" / "devices" / address
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "class").write_text(f"{kind}\n")
    if module:
        (root / "modules" / module).mkdir(parents=True, exist_ok=True)
        (folder / "driver").symlink_to(root / "modules" / module)


def nvidia_kernel_driver(root: Path) -> None:
    (root / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    (root / "proc/driver/nvidia/version").write_text("NVRM version: 570")


def nothing(root: Path) -> None:
    pass


def container(root: Path) -> None:
    nvidia_kernel_driver(root)
    (root / ".dockerenv").touch()


def announced(root: Path) -> None:
    nvidia_kernel_driver(root)
    icd.SYSTEM.mkdir()
    (icd.SYSTEM / "nvidia.icd").write_text("libnvidia-opencl.so.1")


def no_render_node(root: Path) -> None:
    (root / "dev" / "dri").mkdir(parents=True)


NO_LIBRARY = "fails: cannot open shared object file"


@pytest.mark.parametrize(
    ("vendor", "prepare", "library", "fix"),
    [
        ("0x10de", nothing, NO_LIBRARY, "install NVIDIA's driver"),
        ("0x10de", nvidia_kernel_driver, NO_LIBRARY, "libnvidia-compute-VERSION (Ubuntu)"),
        ("0x10de", container, NO_LIBRARY, "NVIDIA_DRIVER_CAPABILITIES=compute,utility"),
        ("0x10de", container, {}, "echo libnvidia-opencl.so.1 > "),
        ("0x10de", announced, {}, "nvidia-smi"),
        ("0x1002", nothing, {}, "rocm-opencl-icd"),
        ("0x1002", nothing, {}, "mesa-opencl-icd and set RUSTICL_ENABLE=radeonsi"),
        ("0x8086", nothing, {}, "apt-get install intel-opencl-icd"),
        ("0x8086", no_render_node, {}, "usermod -aG render,video"),
    ],
)
def test_a_gpu_that_no_driver_offers(
    bare: Path,
    monkeypatch: pytest.MonkeyPatch,
    vendor: str,
    prepare: Callable[[Path], None],
    library: str | dict[str, Any],
    fix: str,
) -> None:
    pci(bare, "0000:01:00.0", vendor, "0x030200", "somedriver")
    prepare(bare)
    answers(monkeypatch, look=environment([platform("P", 1)], [device("cpu", "pocl")]), load_library=library)
    (found,) = [finding for name, finding in findings().items() if name.startswith("gpu ")]
    assert found.ok is False
    assert "0000:01:00.0 (somedriver): no OpenCL driver offers it" in found.detail
    assert fix in found.fix


def test_an_amd_gpu_that_this_user_may_not_open(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pci(bare, "0000:03:00.0", "0x1002", "0x120000")
    (bare / "dev").mkdir()
    (bare / "dev" / "kfd").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    answers(monkeypatch, look=environment([], []))
    assert "usermod" in findings()["gpu amd"].fix


def test_a_gpu_that_a_driver_offers_is_no_finding(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pci(bare, "0000:01:00.0", "0x10de", "0x030200", "nvidia")
    pci(bare, "0000:00:02.0", "0x8086", "0x030000")
    answers(monkeypatch, look=environment([platform("NVIDIA CUDA", 1)], [device("gpu", "nvidia")]))
    found = findings()
    assert "gpu nvidia" not in found
    assert found["gpu intel"].detail == "0000:00:02.0 (no kernel driver): no OpenCL driver offers it"


def test_what_is_no_gpu_is_not_looked_for(bare: Path) -> None:
    pci(bare, "0000:00:01.0", "0x8086", "0x020000")  # an Ethernet controller
    pci(bare, "0000:00:02.0", "0x1a03", "0x030000")  # a server's own display controller
    assert diagnosis.gpus() == {}
    nvidia_kernel_driver(bare)
    assert diagnosis.gpus() == {"nvidia": ["0000:01:00.0 (nvidia)"]}
    pci(bare, "0000:01:00.0", "0x10de", "0x030200", "nvidia")
    assert diagnosis.gpus() == {"nvidia": ["0000:01:00.0 (nvidia)"]}


FAULTS = {
    "import os; os.abort()": "loading all drivers and listing their devices ends the process with signal 6",
    "import time; time.sleep(60)": "does not end within 3 s",
    "import sys; sys.exit(3)": "ends the process with status 3",
}


@pytest.mark.parametrize(("code", "words"), list(FAULTS.items()), ids=list(FAULTS.values()))
def test_a_driver_that_takes_its_process_along(
    bare: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    # The children find this pyopencl; this process has the real one.
    (bare / "site").mkdir()
    (bare / "site" / "pyopencl.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(bare / "site"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(diagnosis, "SECONDS", 3)
    icd.SYSTEM.mkdir()
    (icd.SYSTEM / "some.icd").write_text("libm.so.6")
    found = findings()
    assert found["drivers"].ok is False
    assert words in found["drivers"].detail
    assert found["driver some.icd"].ok


def test_a_broken_pyopencl(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "site").mkdir()
    (bare / "site" / "pyopencl.py").write_text("raise ImportError('libOpenCL.so.1 is missing')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(bare / "site"), os.environ.get("PYTHONPATH", "")]))
    found = findings()["pyopencl"]
    assert found.ok is False
    assert "libOpenCL.so.1 is missing" in found.detail
    assert "pip install" in found.fix


def test_a_library_is_loaded_in_another_process() -> None:
    assert ALONE("load_library", "libm.so.6") == ({"error": ""}, "")
    _, problem = ALONE("load_library", "libnowhere.so.6")
    assert problem.startswith("fails: libnowhere.so.6: cannot open shared object file")


def test_a_device_that_is_not_there_is_an_answer() -> None:
    assert "has no device '99'" in diagnosis.try_kernel("99")["error"] or "found" in diagnosis.try_kernel("99")["error"]


def test_a_device_that_computes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    if not driver.devices():
        pytest.skip("no OpenCL device")
    assert diagnosis.try_kernel("0") == {"error": ""}
    monkeypatch.setattr(diagnosis, "KERNEL", diagnosis.KERNEL.replace("13UL", "14UL"))
    assert diagnosis.try_kernel("0") == {"error": "computes wrong words"}
