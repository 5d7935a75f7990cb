"""A target of atheris (libFuzzer): the verifier of STARKs raises ``InvalidProofError`` or nothing, whatever the bytes.

Run from the repository's root: ``python tests/fuzz/stark_verifier.py [-runs=N] [-max_total_time=SECONDS]``.

The bytes are a proof, or say what to change in one that holds: a challenge depends on everything before it, so that
only a proof whose beginning is right leads far into the verifier.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

with atheris.instrument_imports(include=["chaindp.chain.verify"]):
    from chaindp.chain.verify.stark import InvalidProofError, verify

from chaindp.chain.proof.parameters import HASHES, Parameters
from chaindp.chain.proof.prover import prove
from chaindp.chain.verify.hashing import hash_rows
from chaindp.plugins import load_plugins
from stark_airs import Cubes, Fibonacci

AIRS = {air.name: air for air in (Fibonacci(), Cubes())}


def main() -> None:
    """Make proofs to change, and run."""
    registry = load_plugins()
    kernels = registry.kernel_set(registry.open_backend("cpu", threads=1))
    digests = hash_rows(kernels)
    proofs = []
    for air in (Fibonacci(), Cubes()):
        table = air.table(64)
        public = [int(table[1, -1])] if air.publics else []
        for hash_name in HASHES:
            for hiding in (False, True):
                parameters = Parameters(queries=6, grinding=1, log_final=1, hash_name=hash_name, hiding=hiding)
                proofs.append(prove(air, table, public, kernels, parameters).content)

    def changed(data: bytes) -> bytes:
        provider = atheris.FuzzedDataProvider(data)
        choice = provider.ConsumeIntInRange(0, len(proofs))
        if choice == len(proofs):
            return bytes(provider.ConsumeBytes(len(data)))
        proof = proofs[choice]
        at = provider.ConsumeIntInRange(0, len(proof))
        keep = at + provider.ConsumeIntInRange(0, 40)
        return proof[:at] + bytes(provider.ConsumeBytes(40)) + proof[keep:]

    def once(data: bytes) -> None:
        kernels.take_calls()
        proof = changed(data)
        try:
            verify(proof, AIRS.get, digests, least_bits=0)
        except InvalidProofError:
            return
        assert proof in proofs, "a proof that nobody made holds"

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
