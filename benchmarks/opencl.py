"""The OpenCL backend on one device: how fast, beside the CPU backend, and how near to what the device could do.

Run from the repository's root: ``python benchmarks/opencl.py [--device NAME] [--rounds 11] [--leaves 24] [--json]``.

- **beside the CPU backend**, on a CPU driver with as many cores: whole calls, from host arrays to host arrays, both
  sides in turn on the same fresh input, outputs compared. Ratios of medians.
- **on the device**: data that is there already, kernel times by the device's events: keccak256 of 64-byte messages,
  sha256 nodes, a Merkle tree of 2^24 leaves.
- **roofline**: 32-bit integer operations of a hash times hashes a second, over the rate that the device shows in a loop
  of rotations, exclusive ors and additions on independent values.
- **link**: bytes a second in each direction, from pinned and from ordinary host memory, and what a whole keccak256 call
  with its transfers moves, as a share of that.

A unit is a permutation (keccak256), a compression of 64 bytes (sha256; a node takes two) or a node (merkle_tree); where
both backends are timed, more than 1.0 times is slower. A target that this device is not meant for, a GPU's on a CPU and
the other way round, is not judged. Exit status 1 where a target is not met.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from chaindp.backend import BackendOptions
from chaindp.errors import ChaindpError
from chaindp.kernels.hashes import generate_pairs
from chaindp.plugins import load_plugins
from chaindp_opencl import driver
from chaindp_opencl.backend import OpenClBackend
from chaindp_opencl.memory import SLACK

KECCAK_OPERATIONS = 24 * 2 * (10 + 5 + 24 + 25 + 25 + 1)
"""32-bit instructions of a permutation where one takes three inputs (NVIDIA's LOP3): theta's column parities 10 and its
rotations 5, its exclusive ors 25, rho's rotations 24, chi 25, iota 1, for each half of a lane."""

SHA_OPERATIONS = 2 * 64 * 14 + 48 * 10
"""32-bit instructions of a node, two compressions of which the second has a constant schedule: a round has six
rotations, four three-input logic operations and four additions of three; a word of schedule has six of shift or
rotation, two logic operations and two additions."""

PEAK = """
kernel void peak(global uint *out, uint turns)
{
    uintN a = (uintN)(get_global_id(0)), b = a + 1, c = a + 2, d = a + 3, e = a + 4, f = a + 5, g = a + 6, h = a + 7;
    for (uint i = 0; i < turns; i++) {
#define STEP(x, y) x = rotate(x ^ y, (uintN)7) + y;
        STEP(a, b) STEP(c, d) STEP(e, f) STEP(g, h) STEP(b, c) STEP(d, e) STEP(f, g) STEP(h, a)
    }
    a ^= b ^ c ^ d ^ e ^ f ^ g ^ h;
    out[get_global_id(0)] = SUM;
}
"""
PEAK_OPERATIONS = 8 * 3


def median(values: list[float]) -> float:
    return statistics.median(values)


def spread(values: list[float]) -> float:
    """Half the interquartile range over the median."""
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / median(values)


def beside_cpu(device: str, threads: int, rounds: int) -> list[dict[str, Any]]:
    """Whole calls of both backends in turn."""
    registry = load_plugins()
    sides = {
        name: registry.kernel_set(registry.open_backend(selector, threads=threads))
        for name, selector in (("cpu", "cpu"), ("opencl", f"opencl:{device}" if device else "opencl"))
    }
    rows = []
    for kernel, size in (("keccak256", 1 << 18), ("sha256", 1 << 18), ("merkle_tree", 1 << 20)):
        spec = registry.kernels[kernel]
        times: dict[str, list[float]] = {name: [] for name in sides}
        for round_number in range(rounds + 2):
            args = spec.generate(np.random.default_rng([7, round_number, size]), size)
            order = list(sides) if round_number % 2 else list(sides)[::-1]
            outputs = {}
            for name in order:
                # The machine under a virtual one takes its time to provide memory: not within the sample.
                np.empty(2 * 32 * size, np.uint8).fill(0)
                started = time.perf_counter_ns()
                outputs[name] = sides[name].call(kernel, *args)
                if round_number >= 2:
                    times[name].append((time.perf_counter_ns() - started) / spec.units(*args))
            if not np.array_equal(outputs["cpu"], outputs["opencl"]):
                raise SystemExit(f"{kernel}: the outputs differ")
        cpu, opencl = median(times["cpu"]), median(times["opencl"])
        rows.append(
            {
                "kernel": kernel,
                "unit": spec.unit,
                "size": size,
                "threads": threads,
                "cpu_ns": cpu,
                "opencl_ns": opencl,
                "ratio": opencl / cpu,
                "cpu_spread": spread(times["cpu"]),
                "opencl_spread": spread(times["opencl"]),
            }
        )
    for side in sides.values():
        side.backend.close()
    return rows


def on_device(backend: OpenClBackend, rounds: int, work: Callable[[], Any], units: int) -> dict[str, float]:
    """Units a second by the device's events, of the median call; the first two are not counted."""
    rates = []
    for number in range(rounds + 2):
        backend.take_device_times()
        work()
        backend.synchronize()
        times = backend.take_device_times()
        assert times is not None
        if number >= 2:
            rates.append(units / times.compute_ns * 1e9)
    return {"per_s": median(rates), "spread": spread(rates)}


def peak(backend: OpenClBackend, rounds: int) -> dict[str, float]:
    """32-bit integer operations a second: the best of several vector widths."""
    cl = driver.load()
    best: dict[str, float] = {"per_s": 0.0, "spread": 0.0}
    for width in (1, 4, 16):
        if width > 1 and backend.hardware.kind != "cpu":
            break
        kind = "uint" if width == 1 else f"uint{width}"
        total = "a" if width == 1 else "+".join(f"a.s{i:x}" for i in range(width))
        text = PEAK.replace("uintN", kind).replace("SUM", total)
        kernel = cl.Kernel(cl.Program(backend.queues.context, text).build(), "peak")
        items, turns = (1 << 20, 2048) if backend.hardware.kind != "cpu" else (64, 1 << 18)
        out = cl.Buffer(backend.queues.context, cl.mem_flags.READ_WRITE, 4 * items)
        group = (128,) if backend.hardware.kind != "cpu" else (1,)

        def work(
            kernel: Any = kernel, out: Any = out, items: int = items, turns: int = turns, group: Any = group
        ) -> None:
            backend.queues.note("compute", kernel(backend.queues.mine, (items,), group, out, np.uint32(turns)))

        found = on_device(backend, rounds, work, items * turns * PEAK_OPERATIONS * width)
        if found["per_s"] > best["per_s"]:
            best = {**found, "width": width}
    return best


def link(backend: OpenClBackend, rounds: int, size: int) -> dict[str, float]:
    """Bytes a second by the wall clock: pinned and ordinary host memory, up and down."""
    cl = driver.load()
    context, queue, flags = backend.queues.context, backend.queues.mine, cl.mem_flags
    there = cl.Buffer(context, flags.READ_WRITE, size)
    pinned_buffer = cl.Buffer(context, flags.READ_WRITE | flags.ALLOC_HOST_PTR, size)
    access = cl.map_flags.READ | cl.map_flags.WRITE
    pinned, _ = cl.enqueue_map_buffer(queue, pinned_buffer, access, 0, (size,), np.uint8)
    ordinary = np.ones(size, np.uint8)
    pinned[:] = 1
    result = {}
    for name, host in (("pinned", pinned), ("ordinary", ordinary)):
        for way, pair in (("up", (there, host)), ("down", (host, there))):
            rates = []
            for number in range(rounds + 2):
                started = time.perf_counter_ns()
                cl.enqueue_copy(queue, *pair, is_blocking=True)
                queue.finish()
                if number >= 2:
                    rates.append(size / (time.perf_counter_ns() - started) * 1e9)
            result[f"{name}_{way}"] = median(rates)
    return result


def with_transfers(backend: OpenClBackend, rounds: int, count: int) -> float:
    """Bytes of messages and digests a second of a whole keccak256 call by the wall clock."""
    data, offsets = generate_pairs(np.random.default_rng(3), count)
    rates = []
    for number in range(rounds + 2):
        started = time.perf_counter_ns()
        backend.download(backend.keccak256(backend.upload(data), offsets))
        if number >= 2:
            rates.append((len(data) + 32 * count) / (time.perf_counter_ns() - started) * 1e9)
    return median(rates)


def measure(device: str, rounds: int, leaves_log2: int, threads: int) -> dict[str, Any]:
    """Everything, as the JSON has it."""
    backend = OpenClBackend("opencl", BackendOptions(device=device, threads=threads, profile=True))
    hardware = backend.hardware
    gpu = hardware.kind != "cpu"
    count = 1 << (24 if gpu else 18)
    result: dict[str, Any] = {"device": hardware.details(), "rounds": rounds, "threads": threads}
    if not gpu:
        result["beside_cpu"] = beside_cpu(device, threads, rounds)
    data, offsets = generate_pairs(np.random.default_rng(1), count)
    source = backend.upload(data)
    leaves = backend.upload(np.random.default_rng(2).integers(0, 256, (1 << leaves_log2, 32), dtype=np.uint8))
    nodes = (1 << leaves_log2) - 1
    rates = {
        "keccak256": on_device(backend, rounds, lambda: backend.keccak256(source, offsets), count),
        "sha256": on_device(backend, rounds, lambda: backend.sha256(source, offsets), count),
        "merkle_tree": on_device(backend, rounds, lambda: backend.merkle_tree(leaves), nodes),
    }
    top = peak(backend, rounds)
    result["on_device"] = rates
    result["roofline"] = {
        "peak_operations_per_s": top["per_s"],
        "keccak256_operations": KECCAK_OPERATIONS,
        "sha256_operations": SHA_OPERATIONS,
        "keccak256_share": rates["keccak256"]["per_s"] * KECCAK_OPERATIONS / top["per_s"],
        "sha256_share": rates["sha256"]["per_s"] * SHA_OPERATIONS / top["per_s"],
    }
    result["tree_share"] = rates["merkle_tree"]["per_s"] / rates["keccak256"]["per_s"]
    if not hardware.unified:
        size = min(1 << 28, hardware.max_alloc_bytes - SLACK)
        result["link"] = link(backend, rounds, size)
        plain = OpenClBackend("opencl", BackendOptions(device=device, threads=threads))
        moved = with_transfers(plain, rounds, count)
        plain.close()
        # What both copies take at the link's own speed, over what the call takes.
        up, down = result["link"]["pinned_up"], result["link"]["pinned_down"]
        result["link_share"] = moved * (64 / up + 32 / down) / 96
    backend.close()
    result["targets"] = targets(result, gpu)
    return result


def targets(result: dict[str, Any], gpu: bool) -> list[dict[str, Any]]:
    """What the figures are held against, as far as the device is meant."""
    rows = []

    def add(text: str, value: float, bound: float, at_least: bool) -> None:
        met = value >= bound if at_least else value <= bound
        rows.append({"target": text, "value": round(value, 3), "met": met})

    for row in result.get("beside_cpu", []):
        add(f"{row['kernel']}, at most 1.15 times the CPU backend", row["ratio"], 1.15, False)
    if gpu:
        add(
            "keccak256 of 64 bytes, at least 3 G/s on the device",
            result["on_device"]["keccak256"]["per_s"] / 1e9,
            3,
            True,
        )
        add("sha256 nodes, at least 10 G/s on the device", result["on_device"]["sha256"]["per_s"] / 1e9, 10, True)
        if "link_share" in result:
            add("with transfers, at least 80 % of the link", result["link_share"], 0.8, True)
    add("merkle_tree, at least 60 % of the hash rate", result["tree_share"], 0.6, True)
    return rows


def show(result: dict[str, Any]) -> None:
    device = result["device"]
    print(f"{device['name']}: {device['platform']}, driver {device['driver']}, {device['compute_units']} compute units")
    for row in result.get("beside_cpu", []):
        print(
            f"{row['kernel']:12} {row['size']:>9,}, {row['threads']} threads, ns a {row['unit']}: "
            f"cpu {row['cpu_ns']:.1f}, opencl {row['opencl_ns']:.1f}, {row['ratio']:.3f} times the time "
            f"(spread {row['cpu_spread']:.1%} and {row['opencl_spread']:.1%})"
        )
    for name, rate in result["on_device"].items():
        what = "messages of 64 bytes" if name == "keccak256" else "nodes"
        print(
            f"{name:12} on the device: {rate['per_s'] / 1e6:,.1f} million {what} a second (spread {rate['spread']:.1%})"
        )
    line = result["roofline"]
    print(
        f"roofline: {line['peak_operations_per_s'] / 1e9:,.1f} G integer operations/s; keccak256 "
        f"({line['keccak256_operations']:,} a hash) reaches {line['keccak256_share']:.0%}, sha256 "
        f"({line['sha256_operations']:,} a node) {line['sha256_share']:.0%}; the tree has "
        f"{result['tree_share']:.0%} of keccak256's rate"
    )
    if "link" in result:
        print("link: " + ", ".join(f"{name} {rate / 1e9:.1f} GB/s" for name, rate in result["link"].items()))
        print(f"a whole call reaches {result['link_share']:.0%} of it")
    for row in result["targets"]:
        print(f"target, {row['target']}: {row['value']}, {'met' if row['met'] else 'NOT met'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="", help="index or alias, as in `chaindp plugins`; the default device else")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument(
        "--leaves", type=int, default=0, help="leaves of the tree as a power of two; 24, or 20 on a CPU"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        leaves = arguments.leaves or (20 if driver.select(arguments.device).kind == "cpu" else 24)
        result = measure(arguments.device, arguments.rounds, leaves, arguments.threads)
    except ChaindpError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)
    return 0 if all(row["met"] for row in result["targets"]) else 1


if __name__ == "__main__":
    sys.exit(main())
