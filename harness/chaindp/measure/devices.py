"""Whether the devices of a backend work: each opens and hashes messages whose digests are known.

A driver that fails may end the process that it is loaded into, so a device can be tried in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from chaindp.errors import ChaindpError
from chaindp.plugins import Registry, describe_error, load_plugins

__all__ = ["KNOWN_ANSWERS", "answer", "ask", "ask_alone"]

SECONDS = 120
"""How long a device that is tried in a process of its own may take to open, compile its hashes and answer."""

KNOWN_ANSWERS = {
    "keccak256": (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
    "sha256": (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
}
"""Hash kernel to a message and its digest: the code hash of an account without code (Ethereum Yellow Paper, appendix on
account state), and the first example of FIPS 180-4."""


def ask(registry: Registry, what: str, selector: str) -> list[str]:
    """``list``: the names of a backend's devices; ``hash``: what a device hashed right, as the only item."""
    if what == "list":
        return [device.name for device in registry.devices(selector)]
    return [_hash_known_answers(registry, selector)]


def answer(what: str, selector: str) -> None:
    """Print the answer of ``ask`` as one line of JSON: ``answer``, or ``error`` where that is not empty."""
    found: list[str] = []
    problem = ""
    try:
        found = ask(load_plugins(lambda line: None), what, selector)
    except Exception as error:
        problem = describe_error(error)
    print(json.dumps({"answer": found, "error": problem}), flush=True)


CHILD = "import sys; from chaindp.measure.devices import answer; answer(*sys.argv[1:])"


def ask_alone(what: str, selector: str) -> list[str]:
    """As ``ask``, in a process of its own; ChaindpError also where that crashes or does not end."""
    command = [sys.executable, "-P", "-c", CHILD, what, selector]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ChaindpError(f"gives no answer within {SECONDS} s") from None
    if done.returncode < 0:
        raise ChaindpError(f"its driver ends the process with signal {-done.returncode}")
    try:
        document = json.loads(done.stdout.splitlines()[-1])
        found, problem = document["answer"], document["error"]
    except (IndexError, KeyError, TypeError, ValueError):
        raise ChaindpError(f"its process ends with status {done.returncode} and no answer") from None
    if problem:
        raise ChaindpError(problem)
    return [str(item) for item in found]


def _hash_known_answers(registry: Registry, selector: str) -> str:
    """What was hashed right; a ChaindpError or whatever the backend raises where it was not."""
    backend = registry.open_backend(selector, threads=1)
    try:
        kernels = registry.kernel_set(backend)
        tried = [name for name in KNOWN_ANSWERS if name in kernels.supported]
        for name in tried:
            message, digest = KNOWN_ANSWERS[name]
            data = np.frombuffer(message, dtype=np.uint8)
            output = kernels.call(name, data, np.array([0, len(message)], dtype=np.int64))
            if output.shape != (1, 32) or output.tobytes().hex() != digest:
                raise ChaindpError(f"{name} returns a wrong digest for a known message")
    finally:
        backend.close()
    return f"{' and '.join(tried)} right" if tried else "opens; has no hash to try"
