"""The Makefile's script that gets an OpenCL driver, on machines that are played by programs put first on PATH."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import REPOSITORY

SCRIPT = REPOSITORY / ".ci" / "opencl-driver"

if not SCRIPT.exists():
    pytest.skip("not a checkout: the Makefile's script is not there", allow_module_level=True)

# A device runs a kernel once the file "driver" is there; NVIDIA's library loads once the file "nvidia" is.
PYTHON = """
echo "$@" >> {root}/python.log
case "$*" in
    *try_kernel*) test -e {root}/driver && exit 0; echo "no device"; exit 1 ;;
    *libnvidia-opencl*) test -e {root}/nvidia ;;
    *pip*) {pip} ;;
    *) exit 9 ;;
esac
"""


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


class Machine:
    """A machine without drivers, whose user and packages the test decides."""

    def __init__(self, root: Path, *, user: int, apt: str = "exit 100", pip: str = "exit 1", kind: str = "") -> None:
        self.root = root
        self.venv = root / "venv"
        self.bin = root / "bin"
        self.bin.mkdir()
        for name in ("bash", "mktemp", "tail", "rm", "mkdir", "timeout", "grep"):
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)
        program(self.bin / "id", f"echo {user}")
        program(self.bin / "uname", f"echo {kind or 'Linux x86_64'}")
        program(self.bin / "apt-get", f'echo "$@" >> {root}/apt.log; {apt.format(root=root)}')
        program(self.venv / "bin" / "python", PYTHON.format(root=root, pip=pip.format(root=root)))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(SCRIPT), *arguments, str(self.venv)]
        return subprocess.run(command, capture_output=True, text=True, env={"PATH": str(self.bin)}, check=False)

    def log(self, name: str) -> str:
        path = self.root / f"{name}.log"
        return path.read_text() if path.exists() else ""


WORKS = ": > {root}/driver"


def test_a_device_that_works_is_enough(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0, apt=WORKS, pip=WORKS)
    (tmp_path / "driver").touch()
    done = machine.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.log("apt") == ""
    assert "pip" not in machine.log("python")


def test_root_on_debian_gets_pocl(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0, apt='case "$*" in *install*) : > {root}/driver ;; esac')
    done = machine.run()
    assert done.returncode == 0
    assert "installing pocl-opencl-icd" in done.stderr
    assert machine.log("apt") == "update -qq\ninstall -y -qq --no-install-recommends pocl-opencl-icd\n"
    assert "pip" not in machine.log("python")


def test_others_get_intels_from_pypi_and_are_told_its_size(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000, pip=WORKS)
    done = machine.run()
    assert done.returncode == 0
    assert machine.log("apt") == ""
    assert "0.3 GB to download, 0.8 GB on disk" in done.stderr
    assert "intel-opencl-rt>=2026,<2027 intel-cmplr-lib-rt>=2026,<2027" in machine.log("python")
    assert "level 5" not in done.stderr


def test_root_without_a_package_gets_intels_too(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0, apt="echo no index >&2; exit 100", pip=WORKS)
    done = machine.run()
    assert done.returncode == 0
    assert "no index" in done.stderr
    assert "pip install" in machine.log("python")


@pytest.mark.parametrize("pip", ["echo no network; exit 1", "true"], ids=["no package", "a driver that does not work"])
@pytest.mark.parametrize("user", [0, 1000])
def test_where_no_driver_helps_it_says_what_to_do_and_the_rest_goes_on(tmp_path: Path, user: int, pip: str) -> None:
    machine = Machine(tmp_path, user=user, apt="true", pip=pip)
    done = machine.run()
    assert (done.returncode, done.stdout) == (0, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("chaindp: no OpenCL device, so level 5 and the tests of the OpenCL backend are left out")
    assert last.endswith("apt-get install pocl-opencl-icd")
    assert ("no network" in done.stderr) == ("network" in pip)
    assert "Traceback" not in done.stderr


def test_intels_driver_is_for_its_machines_only(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000, pip=WORKS, kind="Linux aarch64")
    done = machine.run()
    assert done.returncode == 0
    assert "pip" not in machine.log("python")
    assert "level 5" in done.stderr


def test_nvidias_driver_is_made_known_where_no_file_names_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000)
    (tmp_path / "driver").touch()
    (tmp_path / "nvidia").touch()
    file = machine.venv / "etc" / "OpenCL" / "vendors" / "nvidia.icd"
    assert machine.run("--check").returncode == 0
    assert not file.exists()
    done = machine.run()
    if "libnvidia-opencl" in "".join(path.read_text() for path in Path("/etc/OpenCL/vendors").glob("*.icd")):
        pytest.skip("this machine has NVIDIA's file")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert file.read_text() == "libnvidia-opencl.so.1\n"
    file.write_text("/usr/lib/libnvidia-opencl.so.570\n")
    assert machine.run().stderr == ""
    assert file.read_text() == "/usr/lib/libnvidia-opencl.so.570\n"


def test_a_check_installs_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0, apt=WORKS, pip=WORKS)
    done = machine.run("--check")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert machine.log("apt") == ""
    (tmp_path / "driver").touch()
    assert machine.run("--check").returncode == 0


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_what_make_does_about_a_driver(tmp_path: Path) -> None:
    def plan(*arguments: str) -> str:
        command = ["make", "--dry-run", f"VENV={tmp_path}/venv", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True).stdout

    bench = plan("bench")
    steps = [
        "pip install",
        "'.[opencl,fpga]'",
        f".ci/opencl-driver {tmp_path}",
        ".ci/opencl-driver --check",
        "chaindp run",
    ]
    assert [bench.index(step) for step in steps] == sorted(bench.index(step) for step in steps)
    assert "chaindp run --workload erc20 --levels 0-5 --backend merkleize=opencl" in bench
    assert "level 5 needs an OpenCL device" in bench
    assert "chaindp run --workload erc20 --levels 0-4" in bench
    # What is asked for by name is run as it is, or fails.
    asked = plan("bench", "BENCH_ARGS=--workload erc20 --levels 5 --backend opencl")
    assert f".ci/opencl-driver {tmp_path}" in asked
    assert "--check" not in asked
    assert "opencl-driver" not in plan("bench", "BENCH_ARGS=--workload erc20 --levels 0-4")
    for target in ("test", "test-all"):
        tests = plan(target)
        assert tests.index(".ci/opencl-driver") < tests.index("-m pytest")
