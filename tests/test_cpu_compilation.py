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

for device in ("", "scalar"):
    backend = chaindp_backends()[0].factory(BackendOptions(device=device))
    for spec in BUILTIN:
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

    from chaindp_cpu import batches, simd

    cache = batches.are_pairs._cache
    signature = types.boolean(simd.INTS_IN)
    codegen = batches.are_pairs.targetctx.codegen()
    assert cache._load_overload(signature, batches.are_pairs.targetctx) is not None
    before = cache._index_key(signature, codegen)
    monkeypatch.setattr(simd, "_sources", lambda: "other source")
    assert cache._index_key(signature, codegen) != before
    assert cache._load_overload(signature, batches.are_pairs.targetctx) is None
