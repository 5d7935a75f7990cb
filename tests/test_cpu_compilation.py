"""How the CPU backend is compiled: lazily, for other CPUs than this one, and with a cache that notices changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIGHT = """
import sys
import chaindp_cpu
chaindp_cpu.chaindp_backends()
assert "numba" not in sys.modules and "coincurve" not in sys.modules
"""

CONFORM = """
import numpy as np
from chaindp.backend import BackendOptions
from chaindp.kernels import BUILTIN
from chaindp.kernels.hashes import generate_ragged
from chaindp_cpu import chaindp_backends

CPU = chaindp_backends()[0]
for device in ("", "scalar"):
    backend = CPU.factory(BackendOptions(device=device))
    for spec in [spec for spec in BUILTIN if CPU.supports(spec.name)]:
        cases = [(vector.args, vector.expected) for vector in spec.vectors]
        args = spec.generate(np.random.default_rng(1), 37)
        cases.append((args, spec.golden(*args)))
        if spec.name in ("keccak256", "sha256"):
            args = generate_ragged(np.random.default_rng(1), 60)
            cases.append((args, spec.golden(*args)))
        for args, expected in cases:
            assert spec.mismatches(backend.kernel(spec.name)(*args), expected) == 0, (device, spec.name)
print("conforms")
"""


GUARDED = """
import ctypes, mmap
import numpy as np
from chaindp.backend import BackendOptions
from chaindp_cpu import chaindp_backends

PAGE = mmap.PAGESIZE
memory = mmap.mmap(-1, 3 * PAGE)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.CDLL(None, use_errno=True)
for page in (0, 2):
    assert libc.mprotect(ctypes.c_void_p(address + page * PAGE), ctypes.c_size_t(PAGE), 0) == 0

def against_the_wall(array, at_end):
    # A copy that ends where memory ends, or starts where it starts: a read on either side is a segmentation fault.
    flat = np.ascontiguousarray(array).reshape(-1)
    start = 2 * PAGE - flat.nbytes if at_end else PAGE
    held = np.frombuffer(memory, dtype=np.uint8, count=flat.nbytes, offset=start)
    held[:] = flat.view(np.uint8)
    return held.view(array.dtype).reshape(array.shape)

rng = np.random.default_rng(0)
for device in ("", "scalar"):
    backend = chaindp_backends()[0].factory(BackendOptions(device=device))
    for at_end in (True, False):
        for name in ("keccak256", "sha256"):
            for length in range(300):
                data = rng.integers(0, 256, 2 * length, dtype=np.uint8)
                # Two messages, one, and 64-byte ones where they fit.
                for offsets in ([0, length, 2 * length], [0, 2 * length], range(0, 2 * length + 1, 64)):
                    offsets = np.array(offsets, dtype=np.int64)
                    held = against_the_wall(data[: offsets[-1]], at_end)
                    expected = backend.kernel(name)(data, offsets)
                    assert np.array_equal(backend.kernel(name)(held, offsets), expected), (device, name, length)
        for count in range(1, 40):
            leaves = rng.integers(0, 256, (count, 32), dtype=np.uint8)
            nodes = backend.kernel("merkle_tree")(leaves)
            indices = np.arange(count, dtype=np.int64)
            assert np.array_equal(backend.kernel("merkle_tree")(against_the_wall(leaves, at_end)), nodes)
            held = against_the_wall(nodes, at_end)
            backend.kernel("merkle_open")(held, count, indices)
            backend.kernel("merkle_update")(held, count, indices[::2].copy(), leaves[::2])
print("stays inside")
"""


def python(code: str, **environment: str) -> str:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_listing_plugins_imports_neither_numba_nor_libsecp256k1() -> None:
    python(LIGHT)


@pytest.mark.skipif(sys.platform != "linux", reason="guards memory with mprotect")
def test_nothing_is_read_outside_of_the_input() -> None:
    assert python(GUARDED) == "stays inside\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cpu", "features"),
    [("haswell", "+64bit,+cx16,+sse4.2,+avx,+avx2,+bmi,+bmi2,+lzcnt,+popcnt"), ("generic", "")],
    ids=["avx2", "baseline"],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the CPU names are those of x86-64")
def test_code_for_lesser_cpus_is_right(cpu: str, features: str, tmp_path: Path) -> None:
    environment = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    assert python(CONFORM, **environment) == "conforms\n"


def test_cached_code_is_bound_to_the_source_of_the_whole_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba import types

    from chaindp.chain.codec import transactions_jit
    from chaindp.chain.trie import order
    from chaindp.kernels import compilation
    from chaindp_cpu import batches, simd

    cache = batches.are_pairs._cache
    signature = types.boolean(simd.INTS_IN)
    codegen = batches.are_pairs.targetctx.codegen()
    caches = [cache, transactions_jit.decode_rows._cache, order._prefixes._cache]
    assert cache._load_overload(signature, batches.are_pairs.targetctx) is not None
    before = [one._index_key(signature, codegen) for one in caches]
    assert len({key[-1] for key in before}) == 3
    monkeypatch.setattr(compilation, "_sources", lambda folder: "other source")
    assert [one._index_key(signature, codegen)[-1] for one in caches] == ["other source"] * 3
    assert cache._load_overload(signature, batches.are_pairs.targetctx) is None


def test_a_change_of_any_file_of_a_package_is_noticed(tmp_path: Path) -> None:
    """A function calls one of another module: after a change there, a new process must not run the cached old one."""
    package = tmp_path / "pack"
    package.mkdir()
    head = "from chaindp.kernels.compilation import compiled\n"
    (package / "__init__.py").write_text("")
    (package / "outer.py").write_text(
        head + "from pack.inner import inner\n@compiled\ndef outer(x):\n    return inner(x)\n"
    )
    for added in (1, 2):
        (package / "inner.py").write_text(head + f"@compiled\ndef inner(x):\n    return x + {added}\n")
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom pack.outer import outer; print(outer(0))"
        assert python(code, NUMBA_CACHE_DIR=str(tmp_path / "cache")) == f"{added}\n"
