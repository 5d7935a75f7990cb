"""The contract of ``ecrecover``: message digests and secp256k1 signatures to the addresses that signed."""

from __future__ import annotations

import numpy as np

from chaindp.kernels import checks
from chaindp.kernels.hashes import golden_keccak256
from chaindp.kernels.spec import Args, KernelSpec, Vector

__all__ = ["ECRECOVER", "golden_public_key", "golden_recover"]

# SEC 2, section 2.4.1: y^2 = x^3 + 7 over the field of P elements, G of prime order N.
P = 2**256 - 2**32 - 977
N = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
G = (
    0x79BE667E_F9DCBBAC_55A06295_CE870B07_029BFCDB_2DCE28D9_59F2815B_16F81798,
    0x483ADA77_26A3C465_5DA4FBFC_0E1108A8_FD17B448_A6855419_9C47D08F_FB10D4B8,
)

Point = tuple[int, int] | None
"""Affine coordinates; None is the point at infinity."""


def _add(p: Point, q: Point) -> Point:
    """The group law in affine coordinates."""
    if p is None or q is None:
        return q if p is None else p
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, P)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def _multiply(scalar: int, point: Point) -> Point:
    """Double and add."""
    result: Point = None
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _address(point: tuple[int, int]) -> bytes:
    return golden_keccak256(point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big"))[12:]


def golden_recover(digest: bytes, signature: bytes) -> bytes | None:
    """The address that signed ``digest``, or None where the signature is not valid (SEC 1, section 4.1.6).

    As the EVM precompile and a transaction's sender: x = r only (a y-parity of 2 or 3 is not valid), and a high s is
    allowed.
    """
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:64], "big")
    parity = signature[64]
    if not (0 < r < N and 0 < s < N and parity in (0, 1)):
        return None
    square = (r**3 + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if y * y % P != square:
        return None
    if y & 1 != parity:
        y = P - y
    inverse = pow(r, -1, N)
    u1 = -int.from_bytes(digest, "big") * inverse % N
    u2 = s * inverse % N
    key = _add(_multiply(u1, G), _multiply(u2, (r, y)))
    return None if key is None else _address(key)


def golden_public_key(secret: int) -> tuple[int, int]:
    """The public key of ``secret``, 1 to N-1, as affine coordinates."""
    point = _multiply(secret, G)
    if point is None:
        raise ValueError("the secret is zero modulo the group order")
    return point


def _golden(digests: np.ndarray, signatures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One signature at a time, affine arithmetic on Python integers."""
    digests, signatures = checks.signatures(digests, signatures)
    addresses = np.zeros((len(digests), 20), dtype=np.uint8)
    ok = np.zeros(len(digests), dtype=bool)
    for i in range(len(digests)):
        address = golden_recover(digests[i].tobytes(), signatures[i].tobytes())
        if address is not None:
            addresses[i] = np.frombuffer(address, dtype=np.uint8)
            ok[i] = True
    return addresses, ok


def _generate(rng: np.random.Generator, size: int) -> Args:
    """``size`` random digests with valid signatures by random keys, but about one in 64 is spoilt.

    A valid signature needs no signing: any r that is a point's x, any s and any digest are valid for some key.
    The points are successive multiples G, 2G, 3G... of a random point, so a signature costs one inversion here.
    """
    digests = rng.integers(0, 256, (size, 32), dtype=np.uint8)
    signatures = rng.integers(0, 256, (size, 65), dtype=np.uint8)
    signatures[:, 32] &= 0x7F
    signatures[:, 64] &= 1
    point = golden_public_key(int.from_bytes(rng.bytes(31), "big") + 1)
    xs = bytearray()
    for _ in range(size):
        xs += point[0].to_bytes(32, "big")
        following = _add(point, G)
        point = G if following is None else following
    signatures[:, :32] = np.frombuffer(bytes(xs), dtype=np.uint8).reshape(size, 32)
    spoilt = np.flatnonzero(rng.integers(0, 64, size) == 0)
    kinds = rng.integers(0, 3, len(spoilt))
    signatures[spoilt[kinds == 0], :32] = 0
    signatures[spoilt[kinds == 1], 32:64] = 0xFF
    signatures[spoilt[kinds == 2], 64] = 2
    return digests, signatures


def _units(digests: np.ndarray, signatures: np.ndarray) -> int:
    return len(digests)


def _vector(digest: str, r: str, s: str, parity: int, address: str, source: str) -> Vector:
    signature = bytes.fromhex(r) + bytes.fromhex(s) + bytes([parity])
    ok = bool(address)
    return Vector(
        (
            np.frombuffer(bytes.fromhex(digest), dtype=np.uint8).reshape(1, 32),
            np.frombuffer(signature, dtype=np.uint8).reshape(1, 65),
        ),
        (np.frombuffer(bytes.fromhex(address) if ok else bytes(20), dtype=np.uint8).reshape(1, 20), np.array([ok])),
        source,
    )


_GETH = "go-ethereum core/vm/testdata/precompiles/ecRecover.json"
_GETH_DIGEST = "18c547e4f7b0f325ad1e56f57e26c745b09a3e503d86e00e5255ff7f715d3d1c"
_GETH_R = "73b1693892219d736caba55bdb67216e485557ea6b6af75f37096c9aa6a5a75f"
_GETH_S = "eeb940b1d03b21e36b0e47e79769f095fe2ab855bd91e3a38756b7d75a9c4549"

ECRECOVER = KernelSpec(
    name="ecrecover",
    summary="digests u8[N,32], signatures u8[N,65] r||s||y-parity -> addresses u8[N,20], ok bool[N]",
    unit="signature",
    generate=_generate,
    golden=_golden,
    units=_units,
    vectors=(
        _vector(
            _GETH_DIGEST,
            _GETH_R,
            _GETH_S,
            1,
            "a94f5374fce5edbc8e2a8697c15331677e6ebf0b",
            f"{_GETH}: ValidKey (s is high)",
        ),
        _vector(
            _GETH_DIGEST, _GETH_R, _GETH_S, 28, "", f"{_GETH}: InvalidHighV-bits, as a y-parity that is neither 0 nor 1"
        ),
        _vector(
            "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53",
            "28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276",
            "67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83",
            0,
            "9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f",
            "EIP-155, the example transaction",
        ),
    ),
    sizes=(64, 4096),
)
