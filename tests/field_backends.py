"""Backends of the field kernels for tests: one in numpy that shares no code with the golden references, and wrong ones.

Each is the source of a plugin module, installed in a folder of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from chaindp.plugins import Registry, load_plugins
from plugin_site import make_distribution

BASE = '''
import numpy as np

from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability
from chaindp.errors import CapabilityError, ChaindpError, InputError
from chaindp.kernels import checks
from chaindp.kernels.poseidon2 import round_constants

P = 2**31 - 2**27 + 1
M4 = np.array([[2, 3, 1, 1], [1, 2, 3, 1], [1, 1, 2, 3], [3, 1, 1, 2]], dtype=np.uint64)
EXTERNAL = np.kron(np.ones((4, 4), dtype=np.uint64) + np.eye(4, dtype=np.uint64), M4)
INVERSE = [pow(2, -power, P) for power in range(32)]
DIAGONAL = [-2, 1, 2, INVERSE[1], 3, 4, -INVERSE[1], -3, -4, INVERSE[8], INVERSE[2], INVERSE[3], INVERSE[27]]
DIAGONAL += [-INVERSE[8], -INVERSE[4], -INVERSE[27]]
INTERNAL = (np.ones((16, 16), dtype=object) + np.diag(np.array(DIAGONAL, dtype=object))) % P


def product(matrix, states):
    """Rows times the transpose of ``matrix``, column by column: no sum exceeds 64 bits."""
    out = np.zeros_like(states)
    for column in range(16):
        row = np.array([int(value) for value in matrix[:, column]], dtype=np.uint64)
        out = (out + states[:, column : column + 1] * row) % P
    return out


def seventh(x):
    square = x * x % P
    return square * square % P * square % P * x % P


def permute(states):
    constants = round_constants("babybear")
    state = product(EXTERNAL, states.astype(np.uint64))
    for row in constants.first:
        state = product(EXTERNAL, seventh((state + np.array(row, dtype=np.uint64)) % P))
    for added in constants.internal:
        state[:, 0] = seventh((state[:, 0] + np.uint64(added)) % P)
        state = product(INTERNAL, state)
    for row in constants.last:
        state = product(EXTERNAL, seventh((state + np.array(row, dtype=np.uint64)) % P))
    return state.astype(np.uint32)


def transform(values):
    """Gentleman and Sande's butterflies, then the order of reversed bits undone."""
    columns, length = values.shape
    root = pow(31, (P - 1) // length, P)
    state, half = values.astype(np.uint64), length // 2
    while half:
        powers = [1]
        for _ in range(half - 1):
            powers.append(powers[-1] * root % P)
        low, high = np.moveaxis(state.reshape(columns, length // (2 * half), 2, half), 2, 0)
        twisted = (low + P - high) % P * np.array(powers, dtype=np.uint64) % P
        state = np.stack([(low + high) % P, twisted], axis=2).reshape(columns, length)
        root, half = root * root % P, half // 2
    bits = length.bit_length() - 1
    order = [int(format(index, f"0{bits}b")[::-1], 2) if bits else 0 for index in range(length)]
    return np.ascontiguousarray(state[:, order]).astype(np.uint32)


def checked(values, shape, field):
    if not isinstance(field, str) or field not in ("babybear", "koalabear"):
        raise InputError(f"field {field!r} is unknown")
    if field != "babybear":
        raise CapabilityError(f"only over babybear, not over {field}")
    values = checks.array(values, "values", np.uint32, shape)
    if (values >= P).any():
        raise InputError("an element is not canonical")
    return values


class Fields(Backend):
    def poseidon2(self, states, field="babybear"):
        return permute(checked(states, (None, 16), field))

    def ntt(self, values, field="babybear"):
        values = checked(values, (None, None), field)
        length = values.shape[1]
        if not 0 < length <= 1 << 27 or length & (length - 1):
            raise InputError(f"rows of {length} elements")
        return transform(values)

    def merkle_root(self, leaves, hash_name="keccak256"):
        from chaindp.kernels.hashes import GOLDEN_HASHES

        leaves = checks.array(leaves, "leaves", np.uint8, (None, 32))
        if not isinstance(hash_name, str) or hash_name not in GOLDEN_HASHES:
            raise InputError(f"no hash {hash_name!r}")
        digest = GOLDEN_HASHES[hash_name]
        # A stack: at most one complete subtree a height waits for its sibling.
        stack, zeros = [], [bytes(32)]
        for row in leaves:
            node, height = row.tobytes(), 0
            while stack and stack[-1][0] == height:
                node, height = digest(stack.pop()[1] + node), height + 1
            stack.append((height, node))
        if not stack:
            return np.zeros(32, dtype=np.uint8)
        height, node = stack.pop()
        while stack:
            while len(zeros) <= height:
                zeros.append(digest(zeros[-1] * 2))
            if stack[-1][0] == height:
                node = digest(stack.pop()[1] + node)
            else:
                node = digest(node + zeros[height])
            height += 1
        return np.frombuffer(bytearray(node), dtype=np.uint8)


def announce(name, backend):
    return [
        BackendSpec(
            name=name,
            kind="other",
            factory=lambda options: backend(name, options),
            capabilities={kernel: Capability() for kernel in ("poseidon2", "ntt", "merkle_root")},
            summary=name,
        )
    ]
'''

PLUGIN = """
from fields_base import *

{source}

@hookimpl
def chaindp_backends():
    return announce("{name}", Planted)
"""

HONEST = {"fields": "class Planted(Fields): pass"}

WRONG = {
    "fields_width": """
class Planted(Fields):
    def poseidon2(self, states, field="babybear"):
        values = states if isinstance(states, np.ndarray) and states.ndim == 2 else checked(states, (None, 16), field)
        return super().poseidon2(np.ascontiguousarray(values[:, :16]), field)
""",
    "fields_canonical": """
class Planted(Fields):
    def poseidon2(self, states, field="babybear"):
        result = super().poseidon2(states, field)
        # The last subtraction is left out where the sum is of 31 bits all the same.
        return np.where(result < (1 << 31) - P, result + np.uint32(P), result)

    def ntt(self, values, field="babybear"):
        result = super().ntt(values, field)
        return np.where(result == 0, np.uint32(P), result)
""",
    "fields_coerces": """
class Planted(Fields):
    def poseidon2(self, states, field="babybear"):
        if isinstance(states, np.ndarray) and states.dtype == np.uint32:
            states = states % np.uint32(P)
        return super().poseidon2(states, field)

    def ntt(self, values, field="babybear"):
        if isinstance(values, np.ndarray) and values.dtype == np.uint32:
            values = values % np.uint32(P)
        return super().ntt(values, field)
""",
    "fields_order": """
class Planted(Fields):
    def ntt(self, values, field="babybear"):
        # The inverse root: right for every length up to two.
        result = super().ntt(values, field)
        return np.ascontiguousarray(np.roll(result[:, ::-1], 1, axis=1))
""",
    "fields_long": """
class Planted(Fields):
    def ntt(self, values, field="babybear"):
        result = super().ntt(values, field)
        if result.shape[1] == 1 << 13:
            result[0, 4000] ^= 1
        return result
""",
    "fields_odd": """
class Planted(Fields):
    def merkle_root(self, leaves, hash_name="keccak256"):
        # The last leaf again where a level is odd: Bitcoin's rule.
        if isinstance(leaves, np.ndarray) and len(leaves) > 2 and len(leaves) % 2:
            leaves = np.concatenate([leaves, leaves[-1:]])
        return super().merkle_root(leaves, hash_name)
""",
}


@contextlib.contextmanager
def installed(site: Path) -> Iterator[Registry]:
    """The registry with all of these backends in it, installed in the folder ``site``."""
    site.mkdir(parents=True, exist_ok=True)
    (site / "fields_base.py").write_text(BASE)
    for name, source in {**HONEST, **WRONG}.items():
        plugin = PLUGIN.format(source=source, name=name)
        make_distribution(site, f"planted-{name.replace('_', '-')}", plugin)
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    try:
        yield load_plugins()
    finally:
        sys.path.remove(str(site))
        for name in [name for name in sys.modules if name == "fields_base" or name.startswith("planted_")]:
            del sys.modules[name]
