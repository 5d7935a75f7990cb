"""Devices, their names, and what becomes of pyopencl's errors: on made-up drivers, and on a real one where there is."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaindp.errors import PluginError, UsageError
from chaindp_opencl import driver, faults, icd

cl = pytest.importorskip("pyopencl")


class MadeUpError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"status {code}")
        self.code = code
        self.routine = "clGetDeviceIDs"


def device(pointer: int, kind: int, name: str, vendor: str = "", **more: object) -> SimpleNamespace:
    return SimpleNamespace(int_ptr=pointer, type=kind, name=name, vendor=vendor, driver_version="1.0", **more)


def platform(pointer: int, name: str, devices: Sequence[Any] | Exception, vendor: str = "") -> SimpleNamespace:
    def get_devices(_: object) -> Sequence[Any]:
        if isinstance(devices, Exception):
            raise devices
        return devices

    made = SimpleNamespace(int_ptr=pointer, name=name, vendor=vendor, version="OpenCL 3.0", get_devices=get_devices)
    for each in devices if not isinstance(devices, Exception) else ():
        each.platform = made
    return made


def install(monkeypatch: pytest.MonkeyPatch, *platforms: object) -> None:
    def get_platforms() -> list[object]:
        if not platforms:
            raise MadeUpError(cl.status_code.PLATFORM_NOT_FOUND_KHR)
        return list(platforms)

    fake = SimpleNamespace(
        Error=MadeUpError,
        get_platforms=get_platforms,
        status_code=cl.status_code,
        device_type=cl.device_type,
    )
    monkeypatch.setattr(driver, "load", lambda: fake)


CPU, GPU, ACCELERATOR, CUSTOM = 2, 4, 8, 16


def test_gpus_come_first_and_indices_last(monkeypatch: pytest.MonkeyPatch) -> None:
    pocl = platform(1, "Portable Computing Language", [device(10, CPU, "cpu")], "The pocl project")
    mixed = platform(2, "Mixed", [device(20, CPU, "b"), device(21, GPU, "g1"), device(22, GPU, "g2")])
    odd = platform(3, "Odd", [device(30, CUSTOM, "c"), device(31, ACCELERATOR, "a")])
    for platforms in ((pocl, mixed, odd), (odd, mixed, pocl)):
        install(monkeypatch, *platforms)
        found = driver.devices()
        assert [each.name for each in found] == ["g1", "g2", "a", "b", "cpu", "c"]
        assert [each.kind for each in found] == ["gpu", "gpu", "accelerator", "cpu", "cpu", "other"]
        assert [each.index for each in found] == list(range(6))


def test_one_library_named_twice_shows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = platform(1, "P", [device(10, GPU, "g"), device(11, GPU, "g")])
    install(monkeypatch, twice, twice)
    assert [each.handle.int_ptr for each in driver.devices()] == [10, 11]


def test_a_driver_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = platform(1, "Broken", MadeUpError(cl.status_code.OUT_OF_HOST_MEMORY))
    empty = platform(2, "Empty", MadeUpError(cl.status_code.DEVICE_NOT_FOUND))
    install(monkeypatch, broken, empty, platform(3, "Good", [device(30, CPU, "c")]))
    assert [each.name for each in driver.devices()] == ["c"]
    states = {entry["name"]: (entry["devices"], bool(entry["error"])) for entry in driver.inventory()["platforms"]}
    assert states == {"Broken": (0, True), "Empty": (0, False), "Good": (1, False)}


def test_what_an_old_driver_does_not_say_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, platform(1, "Old", [device(10, GPU, " a\0 b ", "x")]))
    (found,) = driver.devices()
    assert (found.name, found.compute_units, found.vector_long) == ("a b", 0, 1)


def test_every_name_selects_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia = platform(1, "NVIDIA CUDA", [device(10, GPU, "H200", "NVIDIA Corporation")], "NVIDIA Corporation")
    intel = platform(2, "Intel(R) OpenCL", [device(20, CPU, "EPYC", "AuthenticAMD")], "Intel(R) Corporation")
    pocl = platform(3, "Portable Computing Language", [device(30, CPU, "EPYC", "AuthenticAMD")], "The pocl project")
    install(monkeypatch, pocl, nvidia, intel)
    listed = driver.listed()
    assert [each.name for each in listed] == ["", "1", "2"]
    assert [each.aliases for each in listed] == [("0", "nvidia", "gpu"), ("intel",), ("pocl",)]
    names = [name for each in listed for name in (each.name, *each.aliases)]
    assert len(set(names)) == len(names)
    for each, handle in zip(listed, (10, 20, 30), strict=True):
        assert {driver.select(name).handle.int_ptr for name in (each.name, *each.aliases)} == {handle}
    assert driver.select("NVIDIA").handle.int_ptr == driver.select("Gpu").handle.int_ptr == 10
    with pytest.raises(UsageError, match="has no device 'amd'; there is 0, nvidia, gpu: H200; 1, intel: EPYC"):
        driver.select("amd")
    with pytest.raises(UsageError):
        driver.select("3")


def test_two_of_a_kind_have_no_word_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    amd = platform(1, "AMD Accelerated Parallel Processing", [device(10, GPU, "a"), device(11, GPU, "b")], "AMD, Inc.")
    install(monkeypatch, amd, platform(2, "rusticl", [device(20, CPU, "llvmpipe", "Mesa")], "Mesa"))
    assert [each.aliases for each in driver.listed()] == [("0",), (), ("rusticl", "cpu")]


def test_a_words_letters_within_another_are_no_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, platform(1, "Charm Lamda", [device(10, GPU, "x", "Swarm")]))
    assert driver.listed()[0].aliases == ("0", "gpu")


def test_details_are_json_and_the_key_is_of_model_and_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, platform(1, "P", [device(10, GPU, "g", global_mem_size=2**37, max_compute_units=132)]))
    (found,) = driver.devices()
    details = found.details()
    assert json.loads(json.dumps(details)) == details
    assert "handle" not in details
    assert (details["name"], details["global_bytes"], details["compute_units"]) == ("g", 2**37, 132)
    assert found.key == replace(found, index=3, compute_units=1).key
    assert found.key != replace(found, driver="2.0").key
    assert "132 compute units, 128.0 GiB" in found.summary


def test_no_driver_is_an_empty_list_and_an_error_for_who_wants_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in icd.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    install(monkeypatch)
    assert driver.devices() == ()
    assert list(driver.listed()) == []
    with pytest.raises(PluginError, match=r"no driver found; .*apt-get install pocl-opencl-icd") as caught:
        driver.select("")
    assert not isinstance(caught.value, UsageError)
    install(monkeypatch, platform(1, "Idle", []))
    with pytest.raises(PluginError, match="no device of any driver found; install"):
        driver.select("1")
    monkeypatch.setenv("OCL_ICD_VENDORS", "/gone")
    with pytest.raises(PluginError, match=r"driver found; OCL_ICD_VENDORS is set to /gone, .*: unset it; or install"):
        driver.select("1")


@pytest.fixture
def fresh_load() -> Iterator[None]:
    driver.load.cache_clear()
    yield
    driver.load.cache_clear()


@pytest.mark.usefixtures("fresh_load")
def test_without_pyopencl_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    with pytest.raises(PluginError, match=r"^opencl: pyopencl is not installed: pip install 'chaindp\[opencl\]'$"):
        driver.listed()
    monkeypatch.delitem(sys.modules, "pyopencl")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pyopencl.py").write_text("raise OSError('libOpenCL.so.1:\\n no such file')")
    with pytest.raises(PluginError, match=r"cannot be imported \(OSError: libOpenCL.so.1: no such file\)"):
        driver.load()
    (tmp_path / "pyopencl.py").write_text("import a_module_that_is_not_there")
    with pytest.raises(PluginError, match="lacks a module, a_module_that_is_not_there"):
        driver.load()


@pytest.mark.usefixtures("fresh_load")
def test_two_threads_set_the_variable_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    active: list[int] = []
    most: list[int] = []

    @contextlib.contextmanager
    def own_drivers() -> Iterator[None]:
        active.append(1)
        most.append(len(active))
        time.sleep(0.05)
        yield
        active.pop()

    monkeypatch.setattr(icd, "own_drivers", own_drivers)
    barrier = threading.Barrier(2)

    def first_call() -> None:
        barrier.wait()
        driver.load()

    threads = [threading.Thread(target=first_call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most
    assert set(most) == {1}


@pytest.mark.usefixtures("fresh_load")
def test_provenance_loads_no_driver_by_itself(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = driver.environment()
    assert document == {"pyopencl": cl.VERSION_TEXT, "loaded": False, "files": {"a.icd": "liba.so"}}
    assert driver.load.cache_info().currsize == 0
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert driver.environment()["pyopencl"] is None


def error(status: str, routine: str = "", message: str = "") -> Exception:
    code = -9999 if status == "NVIDIA" else int(getattr(cl.status_code, status))
    made: Exception = cl.RuntimeError(cl._cl._ErrorRecord(msg=message, code=code, routine=routine))
    return made


@pytest.mark.parametrize(
    ("status", "routine", "kind", "words"),
    [
        ("MEM_OBJECT_ALLOCATION_FAILURE", "clEnqueueNDRangeKernel", driver.DeviceMemoryError, "out of device memory"),
        ("OUT_OF_HOST_MEMORY", "clFinish", driver.DeviceMemoryError, "out of device memory"),
        ("INVALID_BUFFER_SIZE", "create_buffer", driver.DeviceMemoryError, "use a smaller batch"),
        ("OUT_OF_RESOURCES", "clEnqueueNDRangeKernel", driver.DeviceMemoryError, "out of device memory"),
        ("OUT_OF_RESOURCES", "clFinish", driver.DeviceLostError, "the device is lost"),
        ("OUT_OF_RESOURCES", "clEnqueueReadBuffer", driver.DeviceLostError, "a kernel on it faulted"),
        ("DEVICE_NOT_AVAILABLE", "clCreateContext", driver.DeviceLostError, "the device is lost"),
        ("INVALID_COMMAND_QUEUE", "clFinish", driver.DeviceLostError, "clFinish reports INVALID_COMMAND_QUEUE"),
        ("NVIDIA", "clWaitForEvents", driver.DeviceLostError, "outside of its memory"),
        ("PLATFORM_NOT_FOUND_KHR", "clGetPlatformIDs", PluginError, "no OpenCL driver is installed"),
        ("COMPILER_NOT_AVAILABLE", "clBuildProgram", driver.BuildError, "the driver gives no reason"),
        ("INVALID_WORK_GROUP_SIZE", "clEnqueueNDRangeKernel", PluginError, "reports INVALID_WORK_GROUP_SIZE"),
    ],
)
def test_an_error_becomes_one_line_of_its_kind(status: str, routine: str, kind: type, words: str) -> None:
    with pytest.raises(PluginError) as caught, driver.guarded("opencl:1", "hashing"):
        raise error(status, routine)
    assert type(caught.value) is kind
    line = str(caught.value)
    assert line.startswith("opencl:1: hashing: ")
    assert words in line
    assert "\n" not in line
    assert isinstance(caught.value.__cause__, cl.Error)


def test_errors_of_others_pass() -> None:
    with pytest.raises(ZeroDivisionError), driver.guarded("opencl", "hashing"):
        raise ZeroDivisionError
    with driver.guarded("opencl", "hashing"):
        pass


def test_an_error_without_a_status_keeps_its_text() -> None:
    line = str(faults.translate(cl.RuntimeError("no such\n thing"), "opencl", "opening"))
    assert line == "opencl: opening: no such thing"


LOGS = {
    "clang": """
Build on <pyopencl.Device 'x' on 'y' at 0x5>:

warning: /root/.cache/pocl/kcache/keccak256.cl:1:2: abc
error: /root/.cache/pocl/kcache/keccak256.cl:2:39: use of undeclared identifier 'y'
    x[0] = y;
           ^
error: /root/.cache/pocl/kcache/keccak256.cl:2:39: use of undeclared identifier 'y'
1 warning and 2 errors generated.
Device pthread-EPYC failed to build the program

(options: -I /home/somebody/cl)
(source saved as /tmp/x.cl)
""",
    "nvidia": """
<kernel>:3:5: warning: unused variable
<kernel>:4:9: error: use of undeclared identifier 'y'
ptxas error   : Entry function 'k' uses too much shared data (0x10000 bytes, 0xc000 max)
""",
    "intel": """
Compilation started
3:5: error: use of undeclared identifier 'y'
error: front end compiler failed build.
Compilation failed
""",
    "nothing known": "the moon is in the way",
}


@pytest.mark.parametrize(
    ("log", "lines"),
    [
        ("clang", ["error: keccak256.cl:2:39: use of undeclared identifier 'y'"]),
        (
            "nvidia",
            [
                "<kernel>:4:9: error: use of undeclared identifier 'y'",
                "ptxas error   : Entry function 'k' uses too much shared data (0x10000 bytes, 0xc000 max)",
            ],
        ),
        ("intel", ["3:5: error: use of undeclared identifier 'y'", "error: front end compiler failed build."]),
        ("nothing known", ["the moon is in the way"]),
    ],
)
def test_the_useful_lines_of_a_log(log: str, lines: list[str]) -> None:
    assert list(faults.build_log_lines(LOGS[log])) == lines


def test_a_long_log_is_cut() -> None:
    log = "\n".join(f"a.cl:{n}:1: error: {'x' * 1000} {n}" for n in range(100))
    lines = faults.build_log_lines(log)
    assert len(lines) == 5
    assert lines[0].startswith("a.cl:0:1: error: x")
    assert max(map(len, lines)) <= 160
    assert list(faults.build_log_lines("\0\n=====\n")) == []


def icd_folder(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.icd").write_text(text)
    return folder


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No variable is set, the system has one driver, and sys.prefix is ``tmp_path / "venv"``."""
    for name in icd.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(icd, "SYSTEM", icd_folder(tmp_path / "system", a="liba.so\nignored"))
    monkeypatch.setattr(icd, "_bundled", list)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    return tmp_path


def libraries() -> list[str]:
    return [file.library for file in icd.files()]


def test_which_icd_files_are_read(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert libraries() == ["liba.so"]
    icd_folder(icd.own_folder(), b="libb.so\n", empty="")
    assert libraries() == ["liba.so", "libb.so", ""]
    other = icd_folder(folders / "other", c="/opt/libc.so")
    monkeypatch.setenv("OPENCL_VENDOR_PATH", str(other))
    assert libraries() == ["/opt/libc.so"]
    monkeypatch.setenv("OCL_ICD_VENDORS", str(other / "c.icd"))
    assert libraries() == ["/opt/libc.so"]
    monkeypatch.setenv("OCL_ICD_VENDORS", "a.icd")
    assert libraries() == ["liba.so"]
    monkeypatch.setenv("OCL_ICD_VENDORS", "libd.so")
    assert libraries() == ["libd.so"]


def test_intels_package_is_found_where_pip_put_it(folders: Path) -> None:
    icd_folder(
        icd.own_folder(),
        cpu="/opt/anaconda1anaconda2anaconda3/lib/libintelocl.so",
        emulator="/opt/anaconda1anaconda2anaconda3/lib/libintelocl_emu.so",
    )
    library = Path(sys.prefix) / "lib" / "libintelocl.so"
    library.parent.mkdir()
    library.touch()
    assert libraries() == ["liba.so", str(library)]


def test_the_loader_is_told_of_both_folders_for_as_long_as_it_starts(folders: Path) -> None:
    with icd.own_drivers():
        assert "OCL_ICD_VENDORS" not in os.environ
    icd_folder(icd.own_folder(), b="libb.so")
    with icd.own_drivers():
        together = Path(os.environ["OCL_ICD_VENDORS"])
        assert sorted(path.read_text().strip() for path in together.iterdir()) == ["liba.so", "libb.so"]
        assert {path.suffix for path in together.iterdir()} == {".icd"}
    assert "OCL_ICD_VENDORS" not in os.environ
    assert not together.exists()


def test_a_folder_that_the_user_chose_is_left_alone(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    icd_folder(icd.own_folder(), b="libb.so")
    monkeypatch.setenv("OCL_ICD_VENDORS", str(folders))
    with icd.own_drivers():
        assert os.environ["OCL_ICD_VENDORS"] == str(folders)
    assert os.environ["OCL_ICD_VENDORS"] == str(folders)


# On a real driver.


@pytest.fixture(scope="module")
def real() -> driver.OpenClDevice:
    found = driver.devices()
    if not found:
        pytest.skip("no OpenCL device")
    return found[0]


def test_a_real_device_says_what_it_is(real: driver.OpenClDevice) -> None:
    assert real.compute_units >= 1
    assert real.global_bytes >= real.max_alloc_bytes > 2**20
    assert real.max_group >= 1
    assert real.address_bits in (32, 64)
    assert real.version.startswith("OpenCL ")
    assert driver.select("").handle == real.handle == driver.select("0").handle
    document = driver.environment()
    assert json.loads(json.dumps(document)) == document
    assert document["loaded"]
    assert "libOpenCL" in str(document["loader"])


def test_a_real_compiler_says_where_the_error_is(real: driver.OpenClDevice) -> None:
    context = cl.Context([real.handle])
    source = '#line 1 "broken.cl"\n__kernel void k(__global int *x)\n{\n    x[0] = not_declared;\n}\n'
    with pytest.raises(driver.BuildError) as caught, driver.guarded("opencl", "building broken.cl"):
        cl.Program(context, source).build()
    line = str(caught.value)
    assert line.startswith("opencl: building broken.cl: a program does not build (BUILD_PROGRAM_FAILURE): ")
    assert "not_declared" in line
    assert ":3:" in line
    assert "\n" not in line


def test_a_real_allocation_that_is_too_large(real: driver.OpenClDevice) -> None:
    context = cl.Context([real.handle])
    with pytest.raises(driver.DeviceMemoryError), driver.guarded("opencl", "uploading"):
        # Used, too: some drivers find out only then.
        fill(context, cl.Buffer(context, cl.mem_flags.READ_WRITE, size=2**45))


def fill(context: Any, buffer: Any) -> None:
    cl.enqueue_fill_buffer(cl.CommandQueue(context), buffer, b"\0", 0, buffer.size).wait()


LIST = """
import json, os, sys
from pathlib import Path
from chaindp_opencl import driver, icd
if len(sys.argv) > 1:
    sys.prefix, icd.SYSTEM = sys.argv[1], Path("/nowhere")
pointers = [device.handle.int_ptr for device in driver.devices()]
print(json.dumps([len(pointers), len(set(pointers)), os.environ.get("OCL_ICD_VENDORS")]))
"""


def listed(*arguments: str, **variables: str) -> list[Any]:
    environment = {name: value for name, value in os.environ.items() if name not in icd.VARIABLES} | variables
    done = subprocess.run(
        [sys.executable, "-c", LIST, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        timeout=60,
    )
    answer: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def loadable() -> str:
    found = next((file.library for file in icd.files() if file.library and not icd.chosen()), "")
    if not found:
        pytest.skip("no .icd file that names a library")
    return found


def test_a_real_loader_finds_the_drivers_of_the_environment(tmp_path: Path) -> None:
    icd_folder(tmp_path / "etc" / "OpenCL" / "vendors", mine=loadable())
    count, _, variable = listed(str(tmp_path))
    assert count >= 1
    assert variable is None


def test_a_real_library_named_twice_shows_once(tmp_path: Path) -> None:
    once = listed(OCL_ICD_VENDORS=str(icd_folder(tmp_path / "once", a=loadable())))
    twice = listed(OCL_ICD_VENDORS=str(icd_folder(tmp_path / "twice", a=loadable(), b=loadable())))
    assert once[:2] == twice[:2]
    assert twice[0] == twice[1] >= 1


def test_a_real_loader_without_drivers(tmp_path: Path, real: driver.OpenClDevice) -> None:
    if icd._bundled():
        pytest.skip("a driver lies beside pyopencl, where it is always found")
    assert listed(OCL_ICD_VENDORS=str(tmp_path))[0] == 0
