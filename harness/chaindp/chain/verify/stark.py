"""The verifier of STARKs, written from the papers: it shares the field and the AIR with the prover, and no code.

Papers: ethSTARK (https://eprint.iacr.org/2021/582), DEEP-FRI (https://eprint.iacr.org/2019/336). The bytes of a proof
are described in docs/proofs.md.

Nothing in a proof is believed: every length is bounded before anything is read, and what is left over is refused.
Whatever is wrong is an ``InvalidProofError``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from chaindp.chain.airs import Air, Constraints, Rows
from chaindp.errors import CheckFailed
from chaindp.kernels.fields import FIELDS

__all__ = ["LEAST_BITS", "MOST_BYTES", "HashRows", "InvalidProofError", "Statement", "verify"]

HashRows = Callable[[str, np.ndarray], np.ndarray]
"""A hash by name, over uint8[n, length]: the digests uint8[n, 32] of n messages of one length.

``poseidon2 FIELD`` is no hash but the permutation: states uint8[n, 64] of 16 canonical elements of four bytes each, the
least significant one first, to the permuted ones in the same form. The verifier hashes with it by itself.
"""

MOST_BYTES = 1 << 24
"""A proof that is longer is refused unread."""

LEAST_BITS = 100

_MAGIC = b"CDPSTARK\x01"
_PROTOCOL = b"chaindp STARK 1"
_HASHES = ("keccak256", "sha256", "poseidon2")
_MOST_LOG_ROWS = 24
_MOST_COLUMNS = 1 << 13
_MOST_QUERIES = 1 << 10
_SALT = 16


class InvalidProofError(CheckFailed):
    """A proof that proves nothing, and why."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a proof that holds says: that there is a table of this AIR with these public values."""

    air: Air
    public: tuple[int, ...]
    log_rows: int
    log_blowup: int
    queries: int
    grinding: int
    hash_name: str
    hiding: bool
    security_bits: int


def verify(
    proof: bytes, air_named: Callable[[str], Air | None], hash_rows: HashRows, *, least_bits: int = LEAST_BITS
) -> Statement:
    """What ``proof`` proves; InvalidProofError where it proves nothing.

    air_named:  the AIR of a name, None where there is none
    least_bits: of conjectured security (docs/proofs.md): a proof made with weaker parameters is refused
    """
    if len(proof) > MOST_BYTES:
        raise InvalidProofError(f"a proof of {len(proof)} bytes: the longest is {MOST_BYTES}")
    return _Verifier(proof, air_named, hash_rows, least_bits).run()


class _Reader:
    """The bytes of a proof, from first to last."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def take(self, count: int, what: str) -> bytes:
        if count > len(self.content) - self.at:
            raise InvalidProofError(f"the proof ends in {what}")
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self, size: int, what: str) -> int:
        return int.from_bytes(self.take(size, what), "little")

    def elements(self, shape: tuple[int, ...], prime: int, what: str) -> np.ndarray:
        """uint32 of canonical elements."""
        count = int(np.prod(shape))
        values = np.frombuffer(self.take(4 * count, what), dtype="<u4").reshape(shape)
        if count and int(values.max()) >= prime:
            raise InvalidProofError(f"{what} has a number that is not below {prime}")
        return values


Quartic = tuple[int, int, int, int]


class _Extension:
    """F[X] / (X^4 - w): of one element as a tuple, and of arrays with four numbers in their last axis."""

    def __init__(self, name: str) -> None:
        self.field = FIELDS[name]
        self.prime, self.w = self.field.prime, self.field.extension

    def times(self, a: Quartic, b: Quartic) -> Quartic:
        a0, a1, a2, a3 = a
        b0, b1, b2, b3 = b
        p, w = self.prime, self.w
        return (
            (a0 * b0 + w * (a1 * b3 + a2 * b2 + a3 * b1)) % p,
            (a0 * b1 + a1 * b0 + w * (a2 * b3 + a3 * b2)) % p,
            (a0 * b2 + a1 * b1 + a2 * b0 + w * a3 * b3) % p,
            (a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0) % p,
        )

    def plus(self, a: Quartic, b: Quartic) -> Quartic:
        p = self.prime
        return ((a[0] + b[0]) % p, (a[1] + b[1]) % p, (a[2] + b[2]) % p, (a[3] + b[3]) % p)

    def minus(self, a: Quartic, b: Quartic) -> Quartic:
        p = self.prime
        return ((a[0] - b[0]) % p, (a[1] - b[1]) % p, (a[2] - b[2]) % p, (a[3] - b[3]) % p)

    def power(self, a: Quartic, exponent: int) -> Quartic:
        result: Quartic = (1, 0, 0, 0)
        while exponent:
            if exponent & 1:
                result = self.times(result, a)
            a = self.times(a, a)
            exponent >>= 1
        return result

    def array_times(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        p, w = np.uint64(self.prime), np.uint64(self.w)
        out = np.empty(np.broadcast_shapes(a.shape, b.shape), dtype=np.uint64)
        for k in range(4):
            near = sum((a[..., i] * b[..., k - i] % p for i in range(k + 1)), np.uint64(0))
            far = sum((a[..., i] * b[..., 4 + k - i] % p for i in range(k + 1, 4)), np.uint64(0))
            out[..., k] = (near + far % p * w) % p
        return out

    def inverses(self, a: np.ndarray) -> np.ndarray:
        """Of uint64[n, 4], by the norm: a times its conjugates a^p, a^(p^2), a^(p^3) is in the field itself."""
        p = self.prime
        # Frobenius multiplies the coefficient of X^i with w^(i (p - 1) / 4).
        root = pow(self.w, (p - 1) // 4, p)
        first, second, third = (
            a * np.array([pow(root, k * i, p) for i in range(4)], dtype=np.uint64) % np.uint64(p) for k in (1, 2, 3)
        )
        others = self.array_times(self.array_times(first, second), third)
        norms = self.array_times(a, others)[:, 0].tolist()
        if 0 in norms:
            raise InvalidProofError("a challenge hit a point that has no inverse")
        return others * np.array([[pow(norm, -1, p)] for norm in norms], dtype=np.uint64) % np.uint64(p)

    def inverse(self, a: Quartic) -> Quartic:
        return _quartic(self.inverses(np.array([a], dtype=np.uint64))[0])

    def powers(self, base: Quartic, count: int) -> np.ndarray:
        """uint64[count, 4]: 1, base, base^2... Those that are there, times the next one, are as many again."""
        out = np.array([(1, 0, 0, 0)], dtype=np.uint64)
        while len(out) < count:
            out = np.concatenate([out, self.array_times(out, np.array(base, dtype=np.uint64))])
            base = self.times(base, base)
        return out[:count]


def _quartic(values: Sequence[int] | np.ndarray) -> Quartic:
    return (int(values[0]), int(values[1]), int(values[2]), int(values[3]))


class _Cell:
    """An element of the extension as an AIR computes with it. Sums are reduced when they are multiplied, not before."""

    __slots__ = ("extension", "value")

    def __init__(self, extension: _Extension, value: Quartic) -> None:
        self.extension, self.value = extension, value

    def __add__(self, other: _Cell | int) -> _Cell:
        a0, a1, a2, a3 = self.value
        if isinstance(other, int):
            return _Cell(self.extension, (a0 + other, a1, a2, a3))
        b0, b1, b2, b3 = other.value
        return _Cell(self.extension, (a0 + b0, a1 + b1, a2 + b2, a3 + b3))

    __radd__ = __add__

    def __sub__(self, other: _Cell | int) -> _Cell:
        a0, a1, a2, a3 = self.value
        if isinstance(other, int):
            return _Cell(self.extension, (a0 - other, a1, a2, a3))
        b0, b1, b2, b3 = other.value
        return _Cell(self.extension, (a0 - b0, a1 - b1, a2 - b2, a3 - b3))

    def __rsub__(self, other: int) -> _Cell:
        a0, a1, a2, a3 = self.value
        return _Cell(self.extension, (other - a0, -a1, -a2, -a3))

    def __mul__(self, other: _Cell | int) -> _Cell:
        a, p = self.value, self.extension.prime
        if isinstance(other, int):
            return _Cell(self.extension, (a[0] * other % p, a[1] * other % p, a[2] * other % p, a[3] * other % p))
        return _Cell(self.extension, self.extension.times(a, other.value))

    __rmul__ = __mul__


class _Transcript:
    """Challenges, each the digest of all that came before it."""

    def __init__(self, digest: Callable[[bytes], bytes]) -> None:
        self.digest, self.state = digest, bytes(32)

    def hear(self, label: bytes, content: bytes) -> None:
        length = len(content).to_bytes(8, "little")
        self.state = self.digest(self.state + bytes([len(label)]) + label + length + content)

    def words(self, label: bytes) -> Iterator[int]:
        """Numbers of 32 bits, without end."""
        self.hear(label, b"")
        state, counter = self.state, 0
        while True:
            block = self.digest(state + counter.to_bytes(8, "little"))
            yield from (int.from_bytes(block[at : at + 4], "little") for at in range(0, 32, 4))
            counter += 1

    def element(self, label: bytes, prime: int) -> Quartic:
        canonical = (word & 0x7FFFFFFF for word in self.words(label))
        found = (word for word in canonical if word < prime)
        return (next(found), next(found), next(found), next(found))


class _Verifier:
    """One verification, from the first byte to the last."""

    def __init__(
        self, proof: bytes, air_named: Callable[[str], Air | None], hash_rows: HashRows, least_bits: int
    ) -> None:
        self.reader, self.hash_rows = _Reader(proof), hash_rows
        self.statement = self._head(air_named)
        self.head_bytes = proof[: self.reader.at]
        air, said = self.statement.air, self.statement
        self.extension = _Extension(air.field)
        self.prime = self.extension.prime
        self.rows = 1 << said.log_rows
        self._shape()
        if said.security_bits < least_bits:
            raise InvalidProofError(
                f"a proof with {said.security_bits} bits of security, and {least_bits} are asked for"
            )

    def keccak(self, message: bytes) -> bytes:
        row = np.frombuffer(message, dtype=np.uint8).reshape(1, -1)
        return bytes(self.hash_rows("keccak256", row)[0])

    def _head(self, air_named: Callable[[str], Air | None]) -> Statement:
        reader = self.reader
        if reader.take(len(_MAGIC), "its first bytes") != _MAGIC:
            raise InvalidProofError("this is no proof: it does not begin with CDPSTARK and version 1")
        names = ("log_blowup", "log_folding", "log_final", "hash", "hiding", "grinding")
        limits = ((1, 6), (1, 4), (0, 8), (0, len(_HASHES) - 1), (0, 1), (0, 32))
        values = {}
        for name, (low, high) in zip(names, limits, strict=True):
            values[name] = self._within(reader.number(1, name), low, high, name)
        queries = self._within(reader.number(2, "queries"), 1, _MOST_QUERIES, "queries")
        log_rows = self._within(reader.number(1, "the number of rows"), 1, _MOST_LOG_ROWS, "log2 of the rows")
        label = reader.take(reader.number(1, "the AIR's name"), "the AIR's name")
        try:
            air = air_named(label.decode("ascii"))
        except UnicodeDecodeError:
            air = None
        if air is None:
            raise InvalidProofError(f"there is no AIR {label[:80]!r}")
        if air.columns > _MOST_COLUMNS:
            raise InvalidProofError(f"AIR {air.name} has {air.columns} columns, and {_MOST_COLUMNS} are the most")
        prime = FIELDS[air.field].prime
        count = self._within(reader.number(2, "the public values"), air.publics, air.publics, "public values")
        public = reader.elements((count,), prime, "the public values")
        self.log_folding, self.log_final = values["log_folding"], values["log_final"]
        return Statement(
            air=air,
            public=tuple(public.tolist()),
            log_rows=log_rows,
            log_blowup=values["log_blowup"],
            queries=queries,
            grinding=values["grinding"],
            hash_name=_HASHES[values["hash"]],
            hiding=bool(values["hiding"]),
            security_bits=self._security(air, values, queries, log_rows),
        )

    @staticmethod
    def _security(air: Air, values: dict[str, int], queries: int, log_rows: int) -> int:
        """Conjectured, of what the queries, the field of the challenges and the hash give, the least."""
        log_domain = log_rows + values["log_blowup"] + values["hiding"]
        weakest = max(log_domain + 1, math.log2(2 * air.columns + 1))
        field_bits = 4 * math.log2(FIELDS[air.field].prime) - weakest
        return math.floor(min(queries * values["log_blowup"] + values["grinding"], field_bits, 128))

    @staticmethod
    def _within(value: int, low: int, high: int, what: str) -> int:
        if not low <= value <= high:
            expected = f"{low}" if low == high else f"{low} to {high}"
            raise InvalidProofError(f"{what}: {value}, expected {expected}")
        return value

    def _shape(self) -> None:
        """The lengths that follow from the head."""
        said, degree = self.statement, self.statement.air.degree
        # Of a hiding proof, as many random coefficients as what is seen of a column and of its next rows.
        self.masked = 2 * said.queries + 8 if said.hiding else 0
        if said.hiding and 2 * self.masked > self.rows:
            raise InvalidProofError(f"a table of {self.rows} rows hides nothing from {said.queries} queries")
        log_bound = said.log_rows + (1 if said.hiding else 0)
        self.bound = 1 << log_bound
        self.log_domain = log_bound + said.log_blowup
        if self.log_domain > self.extension.field.two_adicity:
            raise InvalidProofError(f"a table of {self.rows} rows is too long for {said.air.field}")
        quotient = max(1, degree * (self.rows + self.masked - 1) - self.rows + 2)
        if quotient > 1 << self.log_domain:
            raise InvalidProofError(f"a blowup of {1 << said.log_blowup} is too small for degree {degree}")
        self.chunk = self.bound - self.masked
        self.chunks = max(2 if said.hiding else 1, (quotient + self.chunk - 1) // self.chunk)
        self.folds = []
        while log_bound > self.log_final:
            self.folds.append(min(self.log_folding, log_bound - self.log_final))
            log_bound -= self.folds[-1]
        self.final = 1 << log_bound

    def run(self) -> Statement:
        reader, said, prime = self.reader, self.statement, self.prime
        columns, pieces = said.air.columns, 4 * self.chunks + (4 if said.hiding else 0)
        hears = _Transcript(self.keccak)
        hears.hear(b"protocol", _PROTOCOL)
        hears.hear(b"statement", self.head_bytes)
        table_root, quotient_root = (reader.take(32, "a root") for _ in range(2))
        opened = reader.elements((2 * columns + pieces, 4), prime, "the values out of the domain")
        hears.hear(b"table", table_root)
        alpha = hears.element(b"constraints", prime)
        hears.hear(b"quotient", quotient_root)
        z = hears.element(b"point", prime)
        hears.hear(b"opened", opened.tobytes())
        self._check_constraints(opened, alpha, z)
        gamma = hears.element(b"columns", prime)
        layer_roots, betas = [], []
        for _ in self.folds:
            layer_roots.append(reader.take(32, "a root"))
            hears.hear(b"round", layer_roots[-1])
            betas.append(hears.element(b"fold", prime))
        final = reader.elements((self.final, 4), prime, "the last polynomial")
        hears.hear(b"final", final.tobytes())
        nonce = reader.take(8, "the nonce")
        if int.from_bytes(self.keccak(hears.state + nonce)[:8], "big") >> (64 - said.grinding):
            raise InvalidProofError(f"the nonce is no work of {said.grinding} bits")
        hears.hear(b"nonce", nonce)
        words = hears.words(b"places")
        places = np.unique([next(words) & ((1 << self.log_domain) - 1) for _ in range(said.queries)])
        salt = _SALT if said.hiding else 0
        table = self._opened(table_root, columns, salt, places, self.log_domain, "the table")
        quotient = self._opened(quotient_root, pieces, salt, places, self.log_domain, "the quotient")
        values = self._combined(table, quotient, opened, gamma, z, places)
        self._check_folds(values, places, layer_roots, betas, final)
        if reader.at != len(reader.content):
            raise InvalidProofError(f"{len(reader.content) - reader.at} bytes follow the proof")
        return said

    def _check_constraints(self, opened: np.ndarray, alpha: Quartic, z: Quartic) -> None:
        """That the constraints at z are what the quotient there says."""
        e, air, prime = self.extension, self.statement.air, self.prime
        cells = [_Cell(e, _quartic(row)) for row in opened.tolist()]
        public = [_Cell(e, (value, 0, 0, 0)) for value in self.statement.public]
        width, columns = air.width, air.columns
        sums: dict[Rows, Quartic] = dict.fromkeys(Rows, (0, 0, 0, 0))
        weight: Quartic = (1, 0, 0, 0)
        for lane in range(air.lanes):
            here = cells[lane * width : (lane + 1) * width]
            after = cells[columns + lane * width : columns + (lane + 1) * width]
            said: Constraints[_Cell] = Constraints(here, after, public)
            air.constraints(said)
            for rows, zero in said.found:
                sums[rows] = e.plus(sums[rows], e.times(weight, zero.value))
                weight = e.times(weight, alpha)
        vanishing = e.minus(e.power(z, self.rows), (1, 0, 0, 0))
        last = pow(e.field.root_of_unity(self.statement.log_rows), -1, prime)
        to_first, to_last = e.minus(z, (1, 0, 0, 0)), e.minus(z, (last, 0, 0, 0))
        expected = e.times(e.plus(sums[Rows.EVERY], e.times(sums[Rows.TRANSITION], to_last)), e.inverse(vanishing))
        expected = e.plus(expected, e.times(sums[Rows.FIRST], e.inverse(to_first)))
        expected = e.plus(expected, e.times(sums[Rows.LAST], e.inverse(to_last)))
        step, found, power = e.power(z, self.chunk), (0, 0, 0, 0), (1, 0, 0, 0)
        for number in range(self.chunks):
            base = 2 * columns + 4 * number
            piece: Quartic = (0, 0, 0, 0)
            for k in range(4):
                unit = _quartic([int(i == k) for i in range(4)])
                piece = e.plus(piece, e.times(unit, cells[base + k].value))
            found = e.plus(found, e.times(power, piece))
            power = e.times(power, step)
        if found != expected:
            raise InvalidProofError("the constraints do not hold at the point out of the domain")

    def _opened(self, root: bytes, width: int, salt: int, places: np.ndarray, log_size: int, what: str) -> np.ndarray:
        """uint32[places, width]: the rows at these places under ``root``."""
        reader, hash_name = self.reader, self.statement.hash_name
        size = 4 * width + salt
        content = np.frombuffer(reader.take(size * len(places), what), dtype=np.uint8).reshape(len(places), size)
        rows = np.ascontiguousarray(content[:, : 4 * width]).view("<u4")
        self._check_canonical(rows, what)
        if hash_name == "poseidon2":
            self._check_canonical(content.view("<u4"), f"the salt of {what}")
            nodes = self._sponge(content.view("<u4"))
        else:
            nodes = self.hash_rows(hash_name, content)
        at = places
        for _ in range(log_size):
            parents, parent = np.unique(at >> 1, return_inverse=True)
            pairs = np.zeros((len(parents), 2, 32), dtype=np.uint8)
            known = np.zeros((len(parents), 2), dtype=bool)
            pairs[parent, at & 1] = nodes
            known[parent, at & 1] = True
            missing = int((~known).sum())
            beside = np.frombuffer(reader.take(32 * missing, f"the digests beside {what}"), dtype=np.uint8)
            pairs[~known] = beside.reshape(-1, 32)
            if hash_name == "poseidon2":
                self._check_canonical(beside.view("<u4"), f"a digest beside {what}")
                nodes = self._permuted(pairs.reshape(-1, 64))[:, :32]
            else:
                nodes = self.hash_rows(hash_name, pairs.reshape(-1, 64))
            at = parents
        if nodes[0].tobytes() != root:
            raise InvalidProofError(f"{what} is not what was committed to")
        return rows

    def _check_canonical(self, values: np.ndarray, what: str) -> None:
        if int(values.max(initial=0)) >= self.prime:
            raise InvalidProofError(f"{what} has a number that is not below {self.prime}")

    def _permuted(self, states: np.ndarray) -> np.ndarray:
        """uint8[n, 64]: the Poseidon2 permutation of states uint8[n, 64]."""
        return self.hash_rows(f"poseidon2 {self.statement.air.field}", states)

    def _sponge(self, rows: np.ndarray) -> np.ndarray:
        """uint8[n, 32]: Poseidon2 digests of rows uint32[n, width].

        Eight elements at a time, and the last ones of just as many, replace the state's first; no padding, since the
        width is known. The digest is the first half of the last state.
        """
        states = np.zeros((len(rows), 16), dtype="<u4")
        for start in range(0, rows.shape[1], 8):
            part = rows[:, start : start + 8]
            states[:, : part.shape[1]] = part
            states = self._permuted(states.view(np.uint8)).view("<u4").copy()
        return np.ascontiguousarray(states[:, :8]).view(np.uint8)

    def _weighted(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """uint64[places, 4]: the sum over the columns. Halves of 16 bits, whose sums of products stay below 2^64."""
        prime, half = np.uint64(self.prime), np.uint64(16)
        sums = np.zeros((len(rows), 4), dtype=np.uint64)
        # A thousand columns at a time: a wide table is not to be there a second time in 64 bits.
        for start in range(0, rows.shape[1], 1024):
            part, factors = rows[:, start : start + 1024].astype(np.uint64), weights[start : start + 1024]
            high = (part >> half) @ factors % prime
            part &= np.uint64(0xFFFF)
            sums += part @ factors % prime + (high << half)
        return sums % prime

    def _combined(
        self,
        table: np.ndarray,
        quotient: np.ndarray,
        opened: np.ndarray,
        gamma: Quartic,
        z: Quartic,
        places: np.ndarray,
    ) -> np.ndarray:
        """uint64[places, 4]: the sum of quotients (f(x) - f(z)) / (x - z) that FRI is about."""
        e, prime, columns = self.extension, self.prime, table.shape[1]
        weights = e.powers(gamma, 2 * columns + quotient.shape[1])
        first, second, third = weights[:columns], weights[columns : 2 * columns], weights[2 * columns :]
        wide = opened.astype(np.uint64)
        values = (
            e.array_times(first, wide[:columns]).sum(axis=0) % prime,
            e.array_times(second, wide[columns : 2 * columns]).sum(axis=0) % prime,
            e.array_times(third, wide[2 * columns :]).sum(axis=0) % prime,
        )
        here = (self._weighted(table, first) + self._weighted(quotient, third)) % prime
        after = self._weighted(table, second)
        root = e.field.root_of_unity(self.log_domain)
        step = e.field.root_of_unity(self.statement.log_rows)
        following = e.times(z, (step, 0, 0, 0))
        points = np.zeros((len(places), 4), dtype=np.uint64)
        points[:, 0] = [e.field.generator * pow(root, place, prime) % prime for place in places.tolist()]
        inverses = [e.inverses((points + prime - np.array(point, dtype=np.uint64)) % prime) for point in (z, following)]
        at_z = (here + 2 * prime - values[0] - values[2]) % prime
        at_next = (after + prime - values[1]) % prime
        return np.asarray((e.array_times(at_z, inverses[0]) + e.array_times(at_next, inverses[1])) % prime)

    def _check_folds(
        self,
        values: np.ndarray,
        places: np.ndarray,
        roots: list[bytes],
        betas: list[Quartic],
        final: np.ndarray,
    ) -> None:
        """FRI's rounds at the places, from the values of the first codeword there to the last polynomial."""
        e, prime = self.extension, self.prime
        log_size, shift = self.log_domain, self.extension.field.generator
        half = np.uint64((prime + 1) // 2)
        for number, (log_fold, root, beta) in enumerate(zip(self.folds, roots, betas, strict=True)):
            log_next = log_size - log_fold
            groups, group = np.unique(places & ((1 << log_next) - 1), return_inverse=True)
            what = f"round {number} of FRI"
            rows = self._opened(root, 4 << log_fold, 0, groups, log_next, what).astype(np.uint64)
            codeword = rows.reshape(len(groups), 1 << log_fold, 4)
            if not np.array_equal(codeword[group, places >> log_next], values):
                raise InvalidProofError(f"{what} is not of the values before it")
            generator = e.field.root_of_unity(log_size)
            x = np.array([shift * pow(generator, place, prime) % prime for place in groups.tolist()], dtype=np.uint64)
            ratio = e.field.root_of_unity(log_fold)
            factor = beta
            for _ in range(log_fold):
                count = codeword.shape[1] // 2
                turns = np.array([pow(ratio, k, prime) for k in range(count)], dtype=np.uint64)
                inverse = np.array(
                    [[pow(value, -1, prime) for value in row] for row in (x[:, None] * turns % prime).tolist()],
                    dtype=np.uint64,
                ).reshape(len(groups), count)
                low, high = codeword[:, :count], codeword[:, count:]
                odd = (low + prime - high) % prime * inverse[:, :, None] % prime
                odd = e.array_times(odd, np.array(factor, dtype=np.uint64))
                codeword = (low + high + odd) % prime * half % prime
                x = x * x % prime
                ratio, shift = ratio * ratio % prime, shift * shift % prime
                factor = e.times(factor, factor)
            values, places, log_size = codeword[:, 0], groups, log_next
        generator = e.field.root_of_unity(log_size)
        x = np.array([[shift * pow(generator, place, prime) % prime] for place in places.tolist()], dtype=np.uint64)
        at = np.zeros((len(places), 4), dtype=np.uint64)
        for coefficient in final[::-1].astype(np.uint64):
            at = (at * x + coefficient) % prime
        if not np.array_equal(at, values):
            raise InvalidProofError("the last polynomial is not of the values before it")
