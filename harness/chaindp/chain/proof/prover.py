"""The prover: from a table that satisfies an AIR to a proof that one does.

The protocol is ethSTARK's (https://eprint.iacr.org/2021/582) with DEEP (https://eprint.iacr.org/2019/336) and FRI
(https://eccc.weizmann.ac.il/report/2017/134/), made non-interactive:

1. The columns, as polynomials, are evaluated on a larger coset, and the rows there committed to.
2. A challenge makes one sum of all constraints, each divided by what vanishes where it holds. It is a polynomial
   exactly if the constraints hold. It is cut into pieces of the columns' length, and these are committed to.
3. All polynomials are opened at a random point of the extension field, the columns at its successor, too.
4. A challenge makes one sum of all quotients (f(x) - f(z)) / (x - z), and FRI shows that it is of low degree, at random
   places at which the commitments of 1 and 2 are opened as well.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from chaindp.chain.airs import Air
from chaindp.chain.proof import loops
from chaindp.chain.proof.commitment import Committed, commit
from chaindp.chain.proof.encoding import SALT_BYTES, element_bytes, head
from chaindp.chain.proof.extension import Arithmetic, Extension
from chaindp.chain.proof.parameters import LEAST_SEED_BYTES, Parameters
from chaindp.chain.proof.program import Program, compile_air
from chaindp.chain.proof.shape import Shape, shape_of
from chaindp.chain.proof.transcript import Transcript
from chaindp.errors import UsageError
from chaindp.kernels.kernelset import KernelSet

__all__ = ["PHASES", "Proof", "prove"]

PHASES = ("compile", "extend", "commit", "constraints", "open", "combine", "fri", "grind", "queries")

SEED_BYTES = 32

_GRINDING_BATCH = 1 << 14


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof, and how long each phase took, in seconds on the wall clock."""

    content: bytes
    seconds: dict[str, float]


def prove(
    air: Air,
    table: np.ndarray,
    public: Sequence[int],
    kernels: KernelSet,
    parameters: Parameters | None = None,
    *,
    seed: bytes | None = None,
    threads: int = 1,
) -> Proof:
    """A proof that there is a table of ``air`` with these public values.

    table: uint32[columns, rows], canonical, rows a power of two
    seed:  16 bytes or more, of the randomness of a hiding proof, which only its maker may know; None draws one. The
           same seed, table, public values and parameters give the same bytes, on every backend and with any number of
           threads; what is drawn for another table or statement has nothing to do with it

    UsageError where table, public values, parameters, seed or threads do not fit; InputError for a table that is not
    one of the field's elements. Whether the table satisfies the AIR is not asked: a proof of one that does not is one
    that the verifier refuses.
    """
    if threads < 1:
        raise UsageError(f"{threads} threads, expected 1 or more")
    with ThreadPoolExecutor(threads) as pool:
        return _Prover(air, table, public, kernels, parameters or Parameters(), seed, (pool, threads)).run()


class _Prover:
    """The state of one proof. Methods in the order in which they are called."""

    def __init__(
        self,
        air: Air,
        table: np.ndarray,
        public: Sequence[int],
        kernels: KernelSet,
        parameters: Parameters,
        seed: bytes | None,
        threads: tuple[ThreadPoolExecutor, int],
    ) -> None:
        self.air, self.kernels, self.parameters = air, kernels, parameters
        self.pool, self.threads = threads
        self.seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        with self.phase("compile"):
            self.program: Program = compile_air(air)
        self.arithmetic = Arithmetic.of(air.field)
        self.prime = self.arithmetic.field.prime
        if table.ndim != 2 or len(table) != air.columns:
            raise UsageError(f"AIR {air.name} has {air.columns} columns, the table is of shape {table.shape}")
        if len(public) != air.publics or not all(0 <= value < self.prime for value in public):
            raise UsageError(f"AIR {air.name} has {air.publics} public values, each below {self.prime}")
        self.public = list(public)
        self.shape: Shape = shape_of(air.field, air.degree, table.shape[1], parameters)
        self.table = table
        self.statement = head(air, parameters, self.shape.rows.bit_length() - 1, self.public)
        self.seed = b""
        if parameters.hiding:
            seed = secrets.token_bytes(SEED_BYTES) if seed is None else seed
            if len(seed) < LEAST_SEED_BYTES:
                raise UsageError(f"a seed of {len(seed)} bytes, a proof that hides takes {LEAST_SEED_BYTES} or more")
            # What two proofs draw from one seed must not be the same: their difference would show the tables.
            parts = (seed, self.statement, hashlib.sha256(self.table.tobytes()).digest())
            framed = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
            self.seed = hashlib.shake_256(b"chaindp STARK seed" + framed).digest(SEED_BYTES)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Book what is done on a phase."""
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start

    def run(self) -> Proof:
        """Everything, in the order in which the verifier hears of it."""
        transcript = Transcript(self.keccak256, self.statement)
        with self.phase("extend"):
            coefficients = self.hidden() if self.parameters.hiding else None
            values = self.extend_values(self.table) if coefficients is None else self.extend(coefficients)
        with self.phase("commit"):
            trace = self.commit(values, b"table")
        transcript.absorb(b"table", trace.root)
        challenge = transcript.element(b"constraints", self.prime)
        with self.phase("constraints"):
            pieces = self.quotient(values, challenge)
        with self.phase("extend"):
            piece_values = self.extend(pieces)
        with self.phase("commit"):
            quotient = self.commit(piece_values, b"quotient")
        transcript.absorb(b"quotient", quotient.root)
        z = transcript.element(b"point", self.prime)
        following = self.arithmetic.scale(z, self.root(self.shape.rows))
        with self.phase("open"):
            if coefficients is None:
                here, after = (self.evaluate_values(self.table, point) for point in (z, following))
            else:
                here, after = (self.evaluate(coefficients, point) for point in (z, following))
            beside = self.evaluate(pieces, z)
        opened = element_bytes(np.concatenate([here, after, beside]))
        transcript.absorb(b"opened", opened)
        combination = transcript.element(b"columns", self.prime)
        with self.phase("combine"):
            codeword = self.combine(values, piece_values, (z, following), (here, after, beside), combination)
        with self.phase("fri"):
            layers, last = self.fold(codeword, transcript)
        with self.phase("grind"):
            nonce = self.grind(transcript)
        transcript.absorb(b"nonce", nonce)
        log_domain = self.shape.domain.bit_length() - 1
        places = transcript.places(b"places", self.parameters.queries, log_domain)
        with self.phase("queries"):
            openings = [trace.open(places), quotient.open(places)]
            for layer in layers:
                places = sorted({place % layer.count for place in places})
                openings.append(layer.open(places))
        roots = [trace.root, quotient.root]
        content = (self.statement, *roots, opened, *(layer.root for layer in layers), last, nonce, *openings)
        return Proof(b"".join(content), self.seconds)

    # what everything is made of ---------------------------------------------------------------------------------------

    def keccak256(self, message: bytes) -> bytes:
        """One digest, by the kernels."""
        offsets = np.array([0, len(message)], dtype=np.int64)
        return bytes(self.kernels.keccak256(np.frombuffer(message, dtype=np.uint8), offsets)[0])

    def root(self, size: int) -> int:
        """The generator of the subgroup of that order."""
        return self.arithmetic.field.root_of_unity(size.bit_length() - 1)

    def points(self, first: int, size: int, count: int) -> np.ndarray:
        """uint32[count]: the coset of ``first`` in the subgroup of order ``size``, in order."""
        out = np.empty(count, dtype=np.uint32)
        loops.powers(first, self.root(size), self.prime, out)
        return out

    def random(self, label: bytes, shape: tuple[int, ...]) -> np.ndarray:
        """Uniform elements uint32 out of the seed; a fresh stream for each label."""
        count = int(np.prod(shape))
        # 31 of 32 bits, and one word in 16 or fewer is not below p.
        stream = hashlib.shake_256(self.seed + label).digest(4 * (count + count // 8 + 256))
        words = np.frombuffer(stream, dtype="<u4") & np.uint32(0x7FFFFFFF)
        words = words[words < self.prime]
        assert len(words) >= count
        return words[:count].astype(np.uint32).reshape(shape)

    def parallel(self, work: Callable[[int, int], None], count: int, grain: int) -> None:
        """``work(start, stop)`` over all of ``count``, in pieces that are multiples of ``grain``, on the threads."""
        pieces = -(-count // grain)
        each = -(-pieces // self.threads) * grain
        spans = [(start, min(start + each, count)) for start in range(0, count, each)]
        if len(spans) == 1:
            work(*spans[0])
            return
        for done in [self.pool.submit(work, *span) for span in spans]:
            done.result()

    def add_quotients(
        self, values: np.ndarray, x: np.ndarray, z: Extension, value: Extension, factor: Extension, out: np.ndarray
    ) -> None:
        """Add factor (values - value) / (x - z) to ``out``, by element: uint32[n, 4] each, x uint32[n]."""
        numbers = [np.array(number, dtype=np.uint64) for number in (z, value, factor)]

        def work(start: int, stop: int) -> None:
            part = slice(start, stop)
            loops.add_quotients(values[part], x[part], *numbers, self.arithmetic.w, self.prime, out[part])

        self.parallel(work, len(x), loops.BLOCK)

    # 1. the table -----------------------------------------------------------------------------------------------------

    def hidden(self) -> np.ndarray:
        """uint32[columns, bound]: the coefficients of the columns' polynomials, each with a random multiple of what
        vanishes on the rows.
        """
        masked = self.shape.masked
        mask = self.random(b"columns", (len(self.table), masked))
        coefficients = np.zeros((len(self.table), self.shape.bound), dtype=np.uint32)
        coefficients[:, : self.shape.rows] = self.kernels.intt(self.table, self.air.field)
        # (x^n - 1) mask(x)
        coefficients[:, self.shape.rows : self.shape.rows + masked] = mask
        low = coefficients[:, :masked].astype(np.uint64)
        coefficients[:, :masked] = (low + self.prime - mask) % self.prime
        return coefficients

    def extend_values(self, values: np.ndarray) -> np.ndarray:
        """uint32[columns, domain]: polynomials by their values on the rows, on the coset that is committed to."""
        return self.kernels.lde(values, 1 << self.parameters.log_blowup, self.arithmetic.shift, self.air.field)

    def extend(self, coefficients: np.ndarray) -> np.ndarray:
        """uint32[columns, domain]: polynomials by their coefficients, on the coset that is committed to."""
        arithmetic = self.arithmetic
        factors = np.empty(coefficients.shape[1], dtype=np.uint32)
        loops.powers(1, arithmetic.shift, self.prime, factors)
        factors = arithmetic.montgomery(factors)
        scaled = np.zeros((len(coefficients), self.shape.domain), dtype=np.uint32)

        def work(start: int, stop: int) -> None:
            loops.scale_columns(coefficients, factors, start, stop, arithmetic.p, arithmetic.negative, scaled)

        self.parallel(work, len(coefficients), 1)
        return self.kernels.ntt(scaled, self.air.field)

    def commit(self, columns: np.ndarray, label: bytes, *, salted: bool = True) -> Committed:
        """Commit to the rows of a table of columns; of a hiding proof with a salt behind each."""
        count, hash_name = columns.shape[1], self.parameters.hash_name
        shape = (count, SALT_BYTES // 4 if self.parameters.hiding and salted else 0)
        if hash_name == "poseidon2":
            salts = self.random(b"salt of " + label, shape)
        else:
            stream = hashlib.shake_256(self.seed + b"salt of " + label).digest(4 * shape[0] * shape[1])
            salts = np.frombuffer(stream, dtype="<u4").reshape(shape)
        return commit(columns, salts, hash_name, self.air.field, self.kernels, self.parallel)

    # 2. the constraints -----------------------------------------------------------------------------------------------

    def quotient(self, values: np.ndarray, challenge: Extension) -> np.ndarray:
        """uint32[pieces, bound]: the coefficients of the quotient's pieces, four columns each."""
        shape, program, arithmetic = self.shape, self.program, self.arithmetic
        size, stride = shape.quotient, shape.domain // shape.quotient
        selectors = self.selectors(size)
        challenges = arithmetic.powers(challenge, self.air.lanes * program.count).reshape(self.air.lanes, -1, 4)
        weights = challenges[:, program.groups]
        weights[:, program.groups < 0] = 0
        fixed = arithmetic.montgomery(np.concatenate([program.constants, np.array(self.public, dtype=np.uint32)]))
        sums = np.empty((size, 4), dtype=np.uint32)

        def work(start: int, stop: int) -> None:
            loops.constrain(
                program.code, fixed, values, program.width, self.air.lanes,
                shape.domain // shape.rows, stride, weights, selectors, program.slots, start, stop,
                arithmetic.p, arithmetic.negative, arithmetic.squared, sums,
            )  # fmt: skip

        self.parallel(work, size, loops.BLOCK)
        coefficients = self.coefficients(sums, arithmetic.shift)
        pieces = np.zeros((shape.chunks, 4, shape.bound), dtype=np.uint32)
        for number in range(shape.chunks):
            part = coefficients[:, number * shape.chunk : (number + 1) * shape.chunk]
            pieces[number, :, : part.shape[1]] = part
        if not shape.masked:
            return pieces.reshape(-1, shape.bound)
        # The pieces tell no more than their sum: what is added to one above its length is taken from the next one.
        mask = self.random(b"pieces", (shape.chunks - 1, 4, shape.masked)).astype(np.uint64)
        pieces[:-1, :, shape.chunk :] = mask
        pieces[1:, :, : shape.masked] = (pieces[1:, :, : shape.masked] + self.prime - mask) % self.prime
        # And FRI shows a sum with a polynomial in it that has nothing to do with the table.
        cover = self.random(b"cover", (4, shape.bound))
        return np.concatenate([pieces.reshape(-1, shape.bound), cover])

    def coefficients(self, values: np.ndarray, shift: int) -> np.ndarray:
        """uint32[4, n]: the coefficients of the polynomial with values uint32[n, 4] on the coset of ``shift``."""
        found = self.kernels.intt(np.ascontiguousarray(values.T), self.air.field).astype(np.uint64)
        unshift = np.empty(len(values), dtype=np.uint32)
        loops.powers(1, pow(shift, -1, self.prime), self.prime, unshift)
        return np.asarray(found * unshift % np.uint64(self.prime), dtype=np.uint32)

    def selectors(self, size: int) -> np.ndarray:
        """uint32[4, size]: by kind of rows, what a constraint is multiplied with on the coset of the quotient.

        1 / Z for every row; (x - last) / Z for all rows but the last; 1 / (x - first), 1 / (x - last). Z = x^rows - 1.
        """
        rows, prime, shift = self.shape.rows, np.uint64(self.prime), self.arithmetic.shift
        points = self.points(shift, size, size).astype(np.uint64)
        period = size // rows
        vanishing = self.points(pow(shift, rows, self.prime), period, period) if period > 1 else None
        values = np.array([pow(shift, rows, self.prime)], dtype=np.uint64) if vanishing is None else vanishing
        vanishing = np.tile(((values.astype(np.uint64) + prime - np.uint64(1)) % prime).astype(np.uint32), rows)
        last = np.uint64(pow(self.root(rows), -1, self.prime))
        to_last = (points + prime - last) % prime
        out = np.empty((4, size), dtype=np.uint32)
        loops.inverses(vanishing, self.prime, out[0])
        out[1] = to_last * out[0] % prime
        loops.inverses(((points + prime - np.uint64(1)) % prime).astype(np.uint32), self.prime, out[2])
        loops.inverses(to_last.astype(np.uint32), self.prime, out[3])
        return out

    # 3. out of the domain ---------------------------------------------------------------------------------------------

    def evaluate_values(self, values: np.ndarray, point: Extension) -> np.ndarray:
        """uint32[columns, 4]: polynomials by their values on the rows, at a point.

        f(z) = (z^n - 1) / n times the sum over the subgroup of f(x) x / (z - x).
        """
        arithmetic, size = self.arithmetic, values.shape[1]
        vanishing = arithmetic.power(point, size)
        scale = arithmetic.scale(((vanishing[0] - 1) % self.prime, *vanishing[1:]), pow(size, -1, self.prime))
        x = self.points(1, size, size)
        numerators = np.zeros((size, 4), dtype=np.uint32)
        numerators[:, 0] = (self.prime - x.astype(np.uint64)) % self.prime
        weights = np.zeros((size, 4), dtype=np.uint32)
        self.add_quotients(numerators, x, point, (0, 0, 0, 0), scale, weights)
        return self.inner_products(values, weights)

    def evaluate(self, coefficients: np.ndarray, point: Extension) -> np.ndarray:
        """uint32[columns, 4]: polynomials by their coefficients, at a point."""
        return self.inner_products(coefficients, self.arithmetic.powers(point, coefficients.shape[1]))

    def inner_products(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """uint32[columns, 4]: the rows of uint32[columns, n], each times uint32[n, 4]."""
        arithmetic = self.arithmetic
        weights = np.ascontiguousarray(weights.T)
        out = np.empty((len(values), 4), dtype=np.uint32)

        def work(start: int, stop: int) -> None:
            loops.evaluate_columns(values, weights, start, stop, arithmetic.p, out)

        self.parallel(work, len(values), 1)
        return out

    # 4. low degree ----------------------------------------------------------------------------------------------------

    def combine(
        self,
        values: np.ndarray,
        piece_values: np.ndarray,
        points: tuple[Extension, Extension],
        opened: tuple[np.ndarray, np.ndarray, np.ndarray],
        challenge: Extension,
    ) -> np.ndarray:
        """uint32[domain, 4]: the sum of all quotients by (x - point), each with its power of the challenge.

        The columns at z have the first powers, those at the next row's point the next ones, then the quotient's pieces.
        """
        arithmetic, width = self.arithmetic, len(values)
        weights = arithmetic.powers(challenge, 2 * width + len(piece_values))
        here, after, beside = opened
        domain = self.shape.domain
        sums = np.empty((domain, 4), dtype=np.uint32)
        piece_sums = np.empty((domain, 4), dtype=np.uint32)

        def work(start: int, stop: int) -> None:
            loops.weighted_columns(values, weights[:width], start, stop, arithmetic.p, sums)
            loops.weighted_columns(piece_values, weights[2 * width :], start, stop, arithmetic.p, piece_sums)

        self.parallel(work, domain, loops.BLOCK)
        both = ((sums.astype(np.uint64) + piece_sums) % self.prime).astype(np.uint32)
        at_z = arithmetic.add(arithmetic.inner(weights[:width], here), arithmetic.inner(weights[2 * width :], beside))
        at_next = arithmetic.inner(weights[:width], after)
        x = self.points(arithmetic.shift, domain, domain)
        out = np.zeros((domain, 4), dtype=np.uint32)
        one: Extension = (1, 0, 0, 0)
        later: Extension = tuple(weights[width].tolist())
        self.add_quotients(both, x, points[0], at_z, one, out)
        self.add_quotients(sums, x, points[1], at_next, later, out)
        return out

    def fold(self, codeword: np.ndarray, transcript: Transcript) -> tuple[list[Committed], bytes]:
        """FRI's rounds: each commits to a codeword, and folds it with a challenge. And the last one's coefficients."""
        layers: list[Committed] = []
        shift = self.arithmetic.shift
        for log_fold in self.shape.folds:
            # A row has the places that become one.
            columns = codeword.reshape(1 << log_fold, -1, 4).transpose(0, 2, 1).reshape(4 << log_fold, -1)
            layer = self.commit(columns, b"", salted=False)
            layers.append(layer)
            transcript.absorb(b"round", layer.root)
            challenge = transcript.element(b"fold", self.prime)
            for _ in range(log_fold):
                number_of = np.array(challenge, dtype=np.uint32)
                codeword = self.kernels.fri_fold(codeword, number_of, shift, self.air.field)
                shift = shift * shift % self.prime
                challenge = self.arithmetic.multiply(challenge, challenge)
        last = element_bytes(self.coefficients(codeword, shift)[:, : self.shape.final].T)
        transcript.absorb(b"final", last)
        return layers, last

    def grind(self, transcript: Transcript) -> bytes:
        """The smallest number whose digest with the transcript begins with as many zero bits as was asked for."""
        bits, state = self.parameters.grinding, np.frombuffer(transcript.state, dtype=np.uint8)
        start = 0
        while bits:
            numbers = np.arange(start, start + _GRINDING_BATCH, dtype="<u8")
            messages = np.empty((_GRINDING_BATCH, 40), dtype=np.uint8)
            messages[:, :32] = state
            messages[:, 32:] = numbers.view(np.uint8).reshape(-1, 8)
            offsets = np.arange(_GRINDING_BATCH + 1, dtype=np.int64) * 40
            digests = self.kernels.keccak256(messages.reshape(-1), offsets)
            found = np.flatnonzero(digests[:, :8].copy().view(">u8").reshape(-1) >> np.uint64(64 - bits) == 0)
            if len(found):
                start += int(found[0])
                break
            start += _GRINDING_BATCH
        return start.to_bytes(8, "little")
