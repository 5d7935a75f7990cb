"""Peers that the kernels are compared with: fetched and built when a benchmark asks for them, never committed."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["PeerMissing", "hashtree", "plonky3", "xkcp"]

HERE = Path(__file__).resolve().parent


class PeerMissing(Exception):
    """The peer cannot be had on this machine; ``str()`` says why."""


def _run(command: list[str], directory: Path, seconds: float = 300, **environment: str) -> str:
    if shutil.which(command[0]) is None:
        raise PeerMissing(f"{command[0]} is not installed")
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=os.environ | environment,
        )
    except subprocess.TimeoutExpired:
        raise PeerMissing(f"{' '.join(command)} took more than {seconds:g} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise PeerMissing(f"{' '.join(command)}: {lines[-1]}")
    return done.stdout


def _cpu_has(flag: str) -> bool:
    info = Path("/proc/cpuinfo")
    return info.is_file() and flag in info.read_text().split()


def xkcp(build: Path) -> Callable[[int], float]:
    """XKCP's AVX-512 code for eight states, as the crate ``kangarootwelve_xkcp`` bundles it: repetitions to nanoseconds
    a 24-round permutation.

    The crate has the 12-round permutation of KangarooTwelve only: eight leaves of 8192 bytes at a rate of 168 take 49
    permutations each. The time is doubled; it includes absorbing 168 bytes per 12 rounds, so twice the work of a
    64-byte message's load.
    """
    if not _cpu_has("avx512vl"):
        raise PeerMissing("this CPU has no AVX-512")
    project = build / "xkcp"
    (project / "src").mkdir(parents=True, exist_ok=True)
    (project / "src" / "lib.rs").write_text("")
    (project / "Cargo.toml").write_text(
        '[package]\nname = "peer"\nversion = "0.0.0"\nedition = "2021"\n\n'
        '[dependencies]\nkangarootwelve_xkcp = "=0.1.6"\n'
    )
    _run(["cargo", "vendor", "--quiet", "vendor"], project)
    source = project / "vendor" / "kangarootwelve_xkcp" / "XKCP-K12" / "lib"
    library = project / "xkcp.so"
    file = source / "Optimized64" / "KeccakP-1600-timesN-AVX512.c"
    flags = ["-O3", "-mavx512f", "-mavx512vl", "-shared", "-fPIC", f"-I{source}", f"-I{source / 'Optimized64'}"]
    _run(["cc", *flags, "-o", str(library), str(file)], project)
    function = ctypes.CDLL(str(library)).KT128_AVX512_Process8Leaves
    messages, digests = np.zeros(8 * 8192, np.uint8), np.zeros(8 * 64, np.uint8)
    arguments = ctypes.c_void_p(messages.ctypes.data), ctypes.c_void_p(digests.ctypes.data)

    def measure(repetitions: int) -> float:
        started = time.perf_counter_ns()
        for _ in range(repetitions):
            function(*arguments)
        return (time.perf_counter_ns() - started) / (repetitions * 8 * 49) * 2

    measure.keep = messages, digests  # type: ignore[attr-defined]
    return measure


def hashtree(build: Path) -> tuple[Callable[[int], float], Callable[[int], str]]:
    """Prysm's hashtree, through its Go module: nodes to nanoseconds a node, and nodes to the SHA-256 of all digests.

    Byte i of what it hashes is 7 * i modulo 256, the same in every call: it has no memory between calls.
    """
    project = build / "hashtree"
    shutil.copytree(HERE / "hashtree", project, dirs_exist_ok=True)
    _run(["go", "mod", "tidy"], project)
    _run(["go", "build", "-o", "peer", "."], project)
    process = subprocess.Popen([str(project / "peer")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(nodes: int) -> tuple[float, str]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{nodes}\n")
        process.stdin.flush()
        nanoseconds, digest = process.stdout.readline().split()
        return float(nanoseconds), digest

    return lambda nodes: ask(nodes)[0], lambda nodes: ask(nodes)[1]


def plonky3(build: Path) -> ctypes.CDLL:
    """Plonky3 0.8.0 behind the C functions of ``plonky3/src/``, compiled for this CPU."""
    library = build / "plonky3" / "release" / "libplonky3_peer.so"
    command = ["cargo", "build", "--release", "--quiet", "--target-dir", str(build / "plonky3")]
    # Minutes: it compiles Plonky3's crates.
    _run(command, HERE / "plonky3", 1200, RUSTFLAGS="-C target-cpu=native")
    found = ctypes.CDLL(str(library))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    # What each function returns and takes.
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "lanes": (size, []),
        "new_dft": (pointer, []),
        "dft_babybear": (None, [pointer, pointer, size, size]),
        "permute_babybear": (None, [pointer, size]),
        "permute_koalabear": (None, [pointer, size]),
        "stark_poseidon2": (pointer, [pointer, size]),
        "stark_keccak": (pointer, [size]),
        "stark_prove": (None, [pointer]),
        "stark_verify": (ctypes.c_bool, [pointer]),
        "stark_parameter": (size, [pointer, size]),
        "stark_bytes": (size, [pointer]),
        "stark_free": (None, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found
