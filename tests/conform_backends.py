"""Small backends for the tests of the conformance suite: honest ones, and one for each way of cheating.

Each is the source of a plugin module. All build on ``conform_base``, which is no plugin: SHA-256 by hashlib.
"""

from __future__ import annotations

from pathlib import Path

from plugin_site import make_distribution

BASE = '''
import ctypes
import hashlib
import random
import threading
import time
from collections import OrderedDict, deque

import numpy as np

from chaindp import hookimpl
from chaindp.backend import Backend, BackendSpec, Capability, Support
from chaindp.errors import InputError, PluginError
from chaindp.kernels import checks


class Naive(Backend):
    """SHA-256, message by message."""

    def sha256(self, data, offsets):
        data, offsets = checks.ragged(data, offsets)
        raw, bounds = data.tobytes(), offsets.tolist()
        digests = [hashlib.sha256(raw[start:stop]).digest() for start, stop in zip(bounds, bounds[1:])]
        return np.frombuffer(bytearray(b"".join(digests)), dtype=np.uint8).reshape(-1, 32)


def announce(name, backend, *kernels):
    return [
        BackendSpec(
            name=name,
            kind="other",
            factory=lambda options: backend(name, options),
            capabilities={kernel: Capability() for kernel in kernels or ["sha256"]},
            summary=name,
        )
    ]
'''

PLUGIN = """
from conform_base import *

{source}

@hookimpl
def chaindp_backends():
    return announce("{name}", Planted, *{kernels!r})
"""

HONEST = {
    "naive": "class Planted(Naive): pass",
    "pooled": '''
class Planted(Naive):
    """Keeps the last 32 results, and a scratch buffer a thread."""

    def __init__(self, name, options):
        super().__init__(name, options)
        self.recent = deque(maxlen=32)
        self.scratch = threading.local()

    def sha256(self, data, offsets):
        self.scratch.room = np.zeros(1 << 16, dtype=np.uint8)
        result = super().sha256(data, offsets)
        self.recent.append(result)
        return result
''',
    "handles": '''
class Handle:
    __slots__ = ("array",)

    def __init__(self, array):
        self.array = array


class Planted(Naive):
    """Memory of its own: buffers are handles, which only this backend can read."""

    def upload(self, array):
        return Handle(array.copy())

    def download(self, buffer):
        if not isinstance(buffer, Handle):
            raise PluginError(f"a {type(buffer).__name__} is not a buffer of this device")
        return buffer.array.copy()

    def sha256(self, data, offsets):
        arrays = [buffer.array if isinstance(buffer, Handle) else buffer for buffer in (data, offsets)]
        return Handle(super().sha256(*arrays))
''',
    "slow": '''
class Planted(Naive):
    """As slow as a simulated device."""

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        time.sleep(0.02 + 1e-4 * len(result))
        return result
''',
}

HOARDS_A_THIRD = '''
class Planted(Naive):
    """Keeps {what}."""

    def __init__(self, name, options):
        super().__init__(name, options)
        self.kept, self.calls = [], 0

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        self.calls += 1
        if self.calls % 3 == 0:
            self.kept.append({kept})
        return result
'''

CHEATS = {
    "remembers": '''
class Planted(Naive):
    """Knows an input by its identity."""

    def __init__(self, name, options):
        super().__init__(name, options)
        self.seen = OrderedDict()

    def sha256(self, data, offsets):
        known = self.seen.get(id(data))
        if known is not None and known[0] is data and known[1] is offsets:
            return known[2].copy()
        result = super().sha256(data, offsets)
        self.seen[id(data)] = data, offsets, result.copy()
        if len(self.seen) > 16:
            self.seen.popitem(last=False)
        return result
''',
    "address": '''
class Planted(Naive):
    """Knows an input by where it is in memory."""

    def __init__(self, name, options):
        super().__init__(name, options)
        self.last = None

    def sha256(self, data, offsets):
        checks.ragged(data, offsets)
        key = data.ctypes.data, data.shape, offsets.tobytes()
        if self.last is None or self.last[0] != key or len(data) < 1000:
            self.last = key, super().sha256(data, offsets), data
        return self.last[1].copy()
''',
    "early": '''
class Planted(Naive):
    """Hands out a result that a thread is still to fill."""

    def sha256(self, data, offsets):
        checks.ragged(data, offsets)
        result = np.zeros((len(offsets) - 1, 32), dtype=np.uint8)

        def fill():
            result[:] = Naive.sha256(self, data, offsets)

        threading.Thread(target=fill).start()
        return result
''',
    "lazy": '''
class Later:
    def __init__(self, work):
        self.work = work


class Planted(Naive):
    """Does the work in download."""

    def download(self, buffer):
        return buffer.work() if isinstance(buffer, Later) else super().download(buffer)

    def sha256(self, data, offsets):
        checks.ragged(data, offsets)
        data, offsets = data.copy(), offsets.copy()
        return Later(lambda: Naive.sha256(self, data, offsets))
''',
    "millionth": '''
class Planted(Naive):
    """Gets every millionth digest of a batch wrong."""

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        result[999_999::1_000_000, 7] ^= 1
        return result
''',
    "counting": '''
class Planted(Naive):
    """Gets every millionth digest that it ever computes wrong."""

    count = 0

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        result[999_999 - Planted.count % 1_000_000 :: 1_000_000, 7] ^= 1
        Planted.count += len(result)
        return result
''',
    "unlucky": '''
class Planted(Naive):
    """Gets a digest in a million wrong, at random."""

    def __init__(self, name, options):
        super().__init__(name, options)
        self.random = np.random.default_rng(1)

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        result[self.random.random(len(result)) < 1e-6, 31] ^= 128
        return result
''',
    "scribbles": '''
class Planted(Naive):
    """Uses its input as scratch memory."""

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        data[:1] ^= 255
        return result
''',
    "careful_scribbles": '''
class Planted(Naive):
    """Uses its input as scratch memory where nobody protects it."""

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        if data.flags.writeable:
            data[-1:] = 0
        return result
''',
    "hoards": '''
class Planted(Naive):
    """Keeps every result."""

    def __init__(self, name, options):
        super().__init__(name, options)
        self.kept = []

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        self.kept.append(result)
        return result
''',
    "mallocs": '''
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.memset.argtypes = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
libc.malloc.argtypes = (ctypes.c_size_t,)


class Planted(Naive):
    """Takes native memory for every call and never gives it back."""

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        libc.memset(libc.malloc(result.nbytes + 1), 1, result.nbytes + 1)
        return result
''',
    "boasts": '''
class Planted(Naive):
    """Has a method, and nothing in it."""

    def sha256(self, data, offsets):
        raise NotImplementedError("coming soon")
''',
    "delegates_when_large": '''
class Planted(Naive):
    """Is the CPU backend wherever it pays, and asks for it only then."""

    def sha256(self, data, offsets):
        checks.ragged(data, offsets)
        if len(offsets) <= 65:
            return super().sha256(data, offsets)
        import chaindp_cpu

        return chaindp_cpu.chaindp_backends()[0].factory(self.options).sha256(data, offsets)

    def __init__(self, name, options):
        super().__init__(name, options)
        self.options = options
''',
    "takes_what_is_loaded": '''
import sys


class Planted(Naive):
    """Is the CPU backend where somebody else has imported it, and asks for nothing."""

    def __init__(self, name, options):
        super().__init__(name, options)
        cpu = sys.modules.get("chaindp_cpu")
        self.other = cpu and cpu.chaindp_backends()[0].factory(options).sha256

    def sha256(self, data, offsets):
        return self.other(data, offsets) if self.other else super().sha256(data, offsets)
''',
    "takes_functions_when_large": '''
import sys


class Planted(Naive):
    """Hashes large batches with the compiled functions of another package that is loaded."""

    def sha256(self, data, offsets):
        data, offsets = checks.ragged(data, offsets)
        module = sys.modules.get("chaindp_cpu.scalar")
        if module is None or len(offsets) <= 65:
            return super().sha256(data, offsets)
        digests = np.empty((len(offsets) - 1, 32), dtype=np.uint8)
        module.sha256_all(data, offsets, digests.reshape(-1))
        return digests
''',
    "remembers_large": '''
class Planted(Naive):
    """Knows a large input by where it is and how it begins."""

    last = None, None

    def sha256(self, data, offsets):
        checks.ragged(data, offsets)
        key = data.ctypes.data, data.shape, data[:8].tobytes(), data[-8:].tobytes(), int(offsets[1:2].sum())
        if self.last[0] != key or len(offsets) <= 256:
            self.last = key, super().sha256(data, offsets)
        return self.last[1].copy()
''',
    "fingerprints": '''
class Planted(Naive):
    """Knows an input by a few of its bytes, wherever it is."""

    def __init__(self, name, options):
        super().__init__(name, options)
        self.seen = OrderedDict()

    def sha256(self, data, offsets):
        checks.ragged(data, offsets)
        key = data.shape, data[: len(data) // 4].tobytes(), data[len(data) // 2 :].tobytes(), offsets[-2:].tobytes()
        if key not in self.seen:
            self.seen[key] = super().sha256(data, offsets)
        return self.seen[key].copy()
''',
    "hashes_in_upload": '''
class Planted(Naive):
    """Does the work when both arguments are there, before it is called."""

    pair = None, None
    answer = None

    def upload(self, array):
        if array.ndim == 1 and array.dtype == np.uint8:
            self.pair = array, None
        elif array.ndim == 1 and array.dtype == np.int64 and len(array) > 64 and array[-1] <= len(self.pair[0]):
            self.pair = self.pair[0], array
            self.answer = super().sha256(*self.pair)
        return array

    def sha256(self, data, offsets):
        if self.answer is not None and data is self.pair[0] and offsets is self.pair[1]:
            return self.answer.copy()
        return super().sha256(data, offsets)
''',
    "hoards_a_third": HOARDS_A_THIRD.format(what="every third result", kept="result"),
    "hoards_copies": HOARDS_A_THIRD.format(what="a copy of every third result", kept="result.copy()"),
    "blunt": '''
class Planted(Naive):
    """Refuses what is bad in words of its own."""

    def sha256(self, data, offsets):
        try:
            return super().sha256(data, offsets)
        except InputError as error:
            raise ValueError(str(error)) from None
''',
    "leaves": '''
class Planted(Naive):
    """Ends the process where it fails."""

    def sha256(self, data, offsets):
        raise SystemExit(3)
''',
    "lists": '''
class Planted(Naive):
    """Returns its digests as a list."""

    def sha256(self, data, offsets):
        return super().sha256(data, offsets).tolist()
''',
    "imports": '''
class Planted(Backend):
    """Is the CPU backend."""

    def __init__(self, name, options):
        super().__init__(name, options)
        import chaindp_cpu

        self.sha256 = chaindp_cpu.chaindp_backends()[0].factory(options).sha256
''',
    "asks_the_registry": '''
class Planted(Backend):
    """Is the CPU backend, by way of the front door."""

    def __init__(self, name, options):
        super().__init__(name, options)
        from chaindp.plugins import load_plugins

        self.other = None if name == "cpu" else load_plugins(lambda line: None).open_backend("cpu")

    def sha256(self, data, offsets):
        return self.other.sha256(data, offsets)
''',
    "falls_back": '''
class Planted(Naive):
    """Is the CPU backend, and hides it well."""

    def sha256(self, data, offsets):
        try:
            import chaindp_cpu
        except ImportError:
            return super().sha256(data, offsets)
        self.other = chaindp_cpu.chaindp_backends()[0].factory(type(self.options)(device="scalar"))
        return self.other.sha256(data, offsets)

    def __init__(self, name, options):
        super().__init__(name, options)
        self.options = options
''',
    "shares": '''
class Planted(Naive):
    """One scratch buffer for all threads."""

    room = np.zeros((1 << 23, 32), dtype=np.uint8)

    def sha256(self, data, offsets):
        data, offsets = checks.ragged(data, offsets)
        for i in range(len(offsets) - 1):
            digest = hashlib.sha256(data[offsets[i] : offsets[i + 1]].tobytes()).digest()
            self.room[i] = np.frombuffer(digest, dtype=np.uint8)
        return self.room[: len(offsets) - 1].copy()
''',
    "overwrites": '''
class Planted(Naive):
    """Returns the same memory every time."""

    room = np.zeros((1 << 23, 32), dtype=np.uint8)

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        self.room[: len(result)] = result
        return self.room[: len(result)]
''',
    "same_array": '''
class Planted(Naive):
    """Returns the same array every time that the size is the same."""

    def __init__(self, name, options):
        super().__init__(name, options)
        self.rooms = {}

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        room = self.rooms.setdefault(len(result), result)
        room[:] = result
        return room
''',
    "coerces": '''
class Planted(Naive):
    """Takes anything that can be made into an array."""

    def sha256(self, data, offsets):
        return super().sha256(np.asarray(data).astype(np.uint8).reshape(-1), np.asarray(offsets).astype(np.int64))
''',
    "trips": '''
class Planted(Naive):
    """Checks nothing and trips over what is wrong."""

    def sha256(self, data, offsets):
        raw, bounds = data.tobytes(), offsets.tolist()
        digests = [hashlib.sha256(raw[start:stop]).digest() for start, stop in zip(bounds, bounds[1:])]
        return np.frombuffer(bytearray(b"".join(digests)), dtype=np.uint8).reshape(-1, 32)
''',
    "strangers": '''
class Planted(Naive):
    """Takes buffers of others, and gives them back as well."""

    def download(self, buffer):
        return np.asarray(buffer)

    def sha256(self, data, offsets):
        data, offsets = (np.asarray(arg) if hasattr(arg, "__array__") else arg for arg in (data, offsets))
        return super().sha256(data, offsets)
''',
    "wide": '''
class Planted(Naive):
    """Returns its digests as words."""

    def sha256(self, data, offsets):
        return super().sha256(data, offsets).view(np.uint32)
''',
    "wrong_at_an_edge": '''
class Planted(Naive):
    """Pads messages of 56 bytes wrongly."""

    def sha256(self, data, offsets):
        result = super().sha256(data, offsets)
        result[np.diff(offsets) == 56, 0] ^= 1
        return result
''',
    "takes_bad": '''
class Planted(Naive):
    """Reads numbers of any type as bytes."""

    def sha256(self, data, offsets):
        if isinstance(data, np.ndarray):
            data = data.astype(np.uint8)
        return super().sha256(data, offsets)
''',
    "truncates": '''
class Planted(Naive):
    """Has words of 32 bits."""

    def upload(self, array):
        return array.astype(np.uint32) if array.dtype == np.uint64 else array
''',
    "refuses": '''
class Planted(Naive):
    """Takes only memory that it likes."""

    def sha256(self, data, offsets):
        if isinstance(data, np.ndarray) and not data.flags.c_contiguous:
            raise InputError("data is not contiguous")
        return super().sha256(data, offsets)
''',
    "greedy": '''
class Planted(Naive):
    """Takes all the threads that it wants."""

    def __init__(self, name, options):
        super().__init__(name, options)
        self.threads = 64
''',
    "guesses": '''
class Planted(Backend):
    """Opens Merkle trees with the sibling of another leaf."""

    def merkle_open(self, nodes, leaf_count, indices, hash_name):
        from chaindp.kernels import MERKLE_OPEN

        paths = MERKLE_OPEN.golden(nodes, leaf_count, indices, hash_name).copy()
        if len(paths) > 4 and paths.shape[1]:
            paths[:, 0] = np.roll(paths[:, 0], 1, axis=0)
        return paths
''',
}

KERNELS = {"guesses": ("merkle_open",)}


def install(site: Path, sources: dict[str, str]) -> None:
    """Install the base and one distribution for each of ``sources`` into ``site``."""
    site.mkdir(parents=True, exist_ok=True)
    (site / "conform_base.py").write_text(BASE)
    for name, source in sources.items():
        plugin = PLUGIN.format(source=source, name=name, kernels=KERNELS.get(name, ()))
        make_distribution(site, f"conform-{name.replace('_', '-')}", plugin)
