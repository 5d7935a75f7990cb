"""Print ``rtl/merkle_zeros_pkg.sv``: the roots of all-zero subtrees, as the kernel contracts define them.

``python zeros.py > rtl/merkle_zeros_pkg.sv`` writes the file again; a test compares the two.
"""

from __future__ import annotations

from chaindp.kernels.merkle import zero_roots

LEVELS = 32
NAMES = {"keccak256": "ZeroRootsKeccak256", "sha256": "ZeroRootsSha256"}

HEADER = """\
// Roots of all-zero subtrees: element h is the root of the tree over 2^h zero digests. Made by zeros.py, not by hand.
// Source: zero_roots() of chaindp.kernels.merkle, whose lowest rows are the zero hashes of the Ethereum consensus
// specs (SHA-256) and of Optimism's and Solady's Merkle tree libraries (Keccak-256).
// The first byte of a root is the least significant one, as in a beat of the stream.
package merkle_zeros_pkg;

  localparam int unsigned ZeroLevels = {levels};
"""


def package() -> str:
    """The text of the SystemVerilog package."""
    parts = [HEADER.format(levels=LEVELS)]
    for hash_name, name in NAMES.items():
        rows = [zero_roots(hash_name)[level].tobytes()[::-1].hex() for level in range(LEVELS)]
        literals = ",\n".join(f"    256'h{row}" for row in reversed(rows))
        parts.append(f"\n  localparam logic [ZeroLevels-1:0][255:0] {name} = {{\n{literals}\n  }};\n")
    parts.append("\nendpackage\n")
    return "".join(parts)


if __name__ == "__main__":
    print(package(), end="")
