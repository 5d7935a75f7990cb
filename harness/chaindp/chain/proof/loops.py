"""The prover's own loops over field elements, compiled: what no kernel of a backend does.

Elements are canonical in arrays, and in Montgomery form (R = 2^32) where it says so. ``p`` is the field's prime below
2^31 and ``negative`` is -1/p modulo R; both are arguments, so that one compilation serves every field. An extension
element is a row of four coefficients.

Sums of many products are kept as two sums of 32-bit halves, which no number of columns that fits in memory overflows,
and are reduced once: a product and two additions a term in place of a reduction a term.
"""

from __future__ import annotations

import numpy as np

from chaindp.chain.proof.program import ADD, CONSTRAIN, LOAD, MUL, MUL_ADD, SUB, SUM
from chaindp.kernels.compilation import compiled

__all__ = [
    "add_quotients",
    "constrain",
    "element_powers",
    "evaluate_columns",
    "inner_product",
    "inverses",
    "powers",
    "scale_columns",
    "turn",
    "weighted_columns",
]

BLOCK = 512
"""Rows that are worked on at once: a few hundred registers of them stay in the second-level cache."""

TURNED = 32
"""Rows that are turned at once: two lines of the cache of each column, and few enough pages that are written to."""

_HALF = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def _product(a, b, p, negative):  # type: ignore[no-untyped-def]
    """The product a b / R, canonical, of canonical a and b."""
    wide = np.uint64(a) * np.uint64(b)
    low = np.uint32(np.uint32(wide) * negative)
    # The sum is a multiple of R, and less than 2 p R.
    high = np.uint32((wide + np.uint64(low) * np.uint64(p)) >> _32)
    return min(high, np.uint32(high - p))


_product = compiled(_product, error_model="numpy")


def _sum(a, b, p):  # type: ignore[no-untyped-def]
    """The canonical sum of canonical a and b."""
    total = np.uint32(a + b)
    return min(total, np.uint32(total - p))


_sum = compiled(_sum, error_model="numpy")


def _reduced(low, high, p):  # type: ignore[no-untyped-def]
    """The number ``low + R high`` modulo p."""
    p = np.uint64(p)
    return np.uint32((((high % p) << _32) + (low % p)) % p)


_reduced = compiled(_reduced, error_model="numpy")


def _turn(columns, start, stop, rows):  # type: ignore[no-untyped-def]
    """rows[i, j] = columns[j, start + i], for i below stop - start: uint32[n, w or more] of uint32[w, n or more]."""
    whole = (stop - start) // TURNED * TURNED
    for begin in range(0, whole, TURNED):
        # Indices into parts that are no sums need not be asked whether they are negative.
        part = rows[begin : begin + TURNED]
        for j in range(len(columns)):
            column = columns[j][start + begin : start + begin + TURNED]
            # A constant number of steps is laid out one after another.
            for k in range(TURNED):
                part[k, j] = column[k]
    for j in range(len(columns)):
        for k in range(whole, stop - start):
            rows[k, j] = columns[j, start + k]


turn = compiled(_turn, error_model="numpy")


def _scale_columns(columns, factors, start, stop, p, negative, out):  # type: ignore[no-untyped-def]
    """out[j, i] = columns[j, i] factors[i], for j from start to stop and all i of a column.

    columns: uint32[w, n]; factors: uint32[n], in Montgomery form; out: uint32[w, n or more]
    """
    for j in range(start, stop):
        column, scaled = columns[j], out[j]
        for i in range(len(factors)):
            scaled[i] = _product(column[i], factors[i], p, negative)


scale_columns = compiled(_scale_columns, error_model="numpy")


def _powers(first, ratio, p, out):  # type: ignore[no-untyped-def]
    """out[i] = first ratio^i: uint32[n]."""
    value, ratio, p = np.uint64(first), np.uint64(ratio), np.uint64(p)
    for i in range(len(out)):
        out[i] = value
        value = value * ratio % p


powers = compiled(_powers, error_model="numpy")


def _power(value, exponent, p):  # type: ignore[no-untyped-def]
    """value^exponent: uint64."""
    result = np.uint64(1)
    while exponent:
        if exponent & np.uint64(1):
            result = result * value % p
        value = value * value % p
        exponent >>= np.uint64(1)
    return result


_power = compiled(_power, error_model="numpy")


def _inverses(values, p, out):  # type: ignore[no-untyped-def]
    """out[i] = 1 / values[i]: uint32[n] of elements other than 0. One inversion for all (Montgomery's trick)."""
    p = np.uint64(p)
    running = np.uint64(1)
    for i in range(len(values)):
        out[i] = running
        running = running * np.uint64(values[i]) % p
    inverse = _power(running, p - np.uint64(2), p)
    for i in range(len(values) - 1, -1, -1):
        out[i] = np.uint64(out[i]) * inverse % p
        inverse = inverse * np.uint64(values[i]) % p


inverses = compiled(_inverses, error_model="numpy")


def _add_weighted(a, b, c, d, weights, sums):  # type: ignore[no-untyped-def]
    """sums[part] += the sum of four columns, each times ``part`` of its weight: lower halves, then higher ones.

    a, b, c, d: uint32[n], below 2^31, so that four products fit 64 bits; weights: uint32[4, 4]; sums: uint64[8 BLOCK]
    """
    # Two parts at a time: the loop is made of vector instructions, and each element is widened once for both.
    for part in range(0, 4, 2):
        a0, a1 = np.uint64(weights[0, part]), np.uint64(weights[0, part + 1])
        b0, b1 = np.uint64(weights[1, part]), np.uint64(weights[1, part + 1])
        c0, c1 = np.uint64(weights[2, part]), np.uint64(weights[2, part + 1])
        d0, d1 = np.uint64(weights[3, part]), np.uint64(weights[3, part + 1])
        into = sums[2 * BLOCK * part : 2 * BLOCK * (part + 2)]
        for k in range(len(a)):
            u, v, x, y = np.uint64(a[k]), np.uint64(b[k]), np.uint64(c[k]), np.uint64(d[k])
            first = u * a0 + v * b0 + x * c0 + y * d0
            second = u * a1 + v * b1 + x * c1 + y * d1
            into[k] += first & _HALF
            into[BLOCK + k] += first >> _32
            into[2 * BLOCK + k] += second & _HALF
            into[3 * BLOCK + k] += second >> _32


_add_weighted = compiled(_add_weighted, error_model="numpy")


def _weighted_columns(columns, weights, start, stop, p, out):  # type: ignore[no-untyped-def]
    """out[i] = sum over j of weights[j] columns[j, i], for i from start to stop.

    columns: uint32[w, n]; weights: uint32[w, 4]; out: uint32[n, 4]
    """
    sums = np.empty(8 * BLOCK, dtype=np.uint64)
    whole = len(columns) // 4 * 4
    rest = np.zeros((4, 4), dtype=np.uint32)
    rest[: len(columns) - whole] = weights[whole:]
    for begin in range(start, stop, BLOCK):
        end = min(begin + BLOCK, stop)
        sums[:] = np.uint64(0)
        for j in range(0, whole, 4):
            a, b, c, d = columns[j], columns[j + 1], columns[j + 2], columns[j + 3]
            _add_weighted(a[begin:end], b[begin:end], c[begin:end], d[begin:end], weights[j : j + 4], sums)
        if whole < len(columns):
            a, b, c = columns[whole], columns[min(whole + 1, len(columns) - 1)], columns[len(columns) - 1]
            _add_weighted(a[begin:end], b[begin:end], c[begin:end], c[begin:end], rest, sums)
        for part in range(4):
            low, high = 2 * part * BLOCK, (2 * part + 1) * BLOCK
            for k in range(end - begin):
                out[begin + k, part] = _reduced(sums[low + k], sums[high + k], p)


weighted_columns = compiled(_weighted_columns, error_model="numpy")


def _evaluate_columns(columns, weights, start, stop, p, out):  # type: ignore[no-untyped-def]
    """out[j] = sum over i of weights[:, i] columns[j, i], for j from start to stop.

    columns: uint32[w, n]; weights: uint32[4, n]; out: uint32[w, 4]
    """
    quarter = columns.shape[1] // 4
    for j in range(start, stop):
        for part in range(4):
            column, row = columns[j], weights[part]
            low = high = np.uint64(0)
            # Four products fit 64 bits.
            for k in range(quarter):
                wide = np.uint64(column[k]) * np.uint64(row[k])
                wide += np.uint64(column[quarter + k]) * np.uint64(row[quarter + k])
                wide += np.uint64(column[2 * quarter + k]) * np.uint64(row[2 * quarter + k])
                wide += np.uint64(column[3 * quarter + k]) * np.uint64(row[3 * quarter + k])
                low += wide & _HALF
                high += wide >> _32
            for k in range(4 * quarter, len(column)):
                wide = np.uint64(column[k]) * np.uint64(row[k])
                low += wide & _HALF
                high += wide >> _32
            out[j, part] = _reduced(low, high, p)


evaluate_columns = compiled(_evaluate_columns, error_model="numpy")


def _load(source, start, stride, shift, p, negative, squared, target):  # type: ignore[no-untyped-def]
    """target[k] = source[(start + k) stride + shift], in Montgomery form; the last element is followed by the first."""
    if stride == 1 and start + shift + len(target) <= len(source):
        part = source[start + shift : start + shift + len(target)]
        for k in range(len(target)):
            target[k] = _product(part[k], squared, p, negative)
        return
    at = (start * stride + shift) % len(source)
    for k in range(len(target)):
        target[k] = _product(source[at], squared, p, negative)
        at += stride
        if at >= len(source):
            at -= len(source)


_load = compiled(_load, error_model="numpy")


def _constrain(code, fixed, columns, width, lanes, shift, stride, weights, selectors, slots, start, stop, p, negative, squared, out):  # type: ignore[no-untyped-def] # fmt: skip # noqa: E501
    """out[i] = the sum over all constraints of challenge, selector and value, in row ``i stride``, from start to stop.

    code:      int32[instructions, 6], of ``Program``
    fixed:     uint32, constants and public values, in Montgomery form: the first slots
    columns:   uint32[lanes width, n]: the columns of the table over a coset, in its order
    shift:     how many places later the next row of the table is in this coset
    weights:   uint32[lanes, groups, 4, 4]: what the four constraints of a group are multiplied with
    selectors: uint32[4, m], by kind of rows, in row i
    squared:   R^2 modulo p
    out:       uint32[m, 4]
    """
    # Rows of BLOCK elements. Indices into one array cost less than an array a row.
    slot = np.empty(slots * BLOCK, dtype=np.uint32)
    for i in range(len(fixed)):
        slot[i * BLOCK : (i + 1) * BLOCK] = fixed[i]
    sums = np.empty((4, 8 * BLOCK), dtype=np.uint64)
    kinds = np.unique(code[code[:, 0] == CONSTRAIN][:, 1])
    for begin in range(start, stop, BLOCK):
        count = min(BLOCK, stop - begin)
        sums[:] = np.uint64(0)
        for lane in range(lanes):
            group = 0
            for step in range(len(code)):
                operation = code[step, 0]
                target = code[step, 1] * BLOCK
                if operation == LOAD:
                    source, later = columns[lane * width + code[step, 2]], code[step, 3] * shift
                    _load(source, begin, stride, later, p, negative, squared, slot[target : target + count])
                    continue
                a = slot[code[step, 2] * BLOCK :][:BLOCK]
                b = slot[code[step, 3] * BLOCK :][:BLOCK]
                c = slot[code[step, 4] * BLOCK :][:BLOCK]
                d = slot[code[step, 5] * BLOCK :][:BLOCK]
                if operation == CONSTRAIN:
                    _add_weighted(a, b, c, d, weights[lane, group], sums[code[step, 1]])
                    group += 1
                    continue
                result = slot[target : target + BLOCK]
                if operation == MUL:
                    for k in range(BLOCK):
                        result[k] = _product(a[k], b[k], p, negative)
                elif operation == MUL_ADD:
                    for k in range(BLOCK):
                        result[k] = _sum(_product(a[k], b[k], p, negative), c[k], p)
                elif operation == ADD:
                    for k in range(BLOCK):
                        result[k] = _sum(a[k], b[k], p)
                elif operation == SUM:
                    for k in range(BLOCK):
                        result[k] = _sum(_sum(a[k], b[k], p), _sum(c[k], d[k], p), p)
                elif operation == SUB:
                    for k in range(BLOCK):
                        total = np.uint32(a[k] - b[k])
                        result[k] = min(total, np.uint32(total + p))
        for part in range(4):
            low, high = 2 * part * BLOCK, (2 * part + 1) * BLOCK
            for k in range(count):
                total = np.uint32(0)
                for kind in kinds:
                    # The values were in Montgomery form, so that a product with a canonical selector leaves it.
                    value = _reduced(sums[kind, low + k], sums[kind, high + k], p)
                    value = _product(value, selectors[kind, begin + k], p, negative)
                    total = _sum(total, value, p)
                out[begin + k, part] = total


constrain = compiled(_constrain, error_model="numpy")


def _times(a0, a1, a2, a3, b0, b1, b2, b3, w, p):  # type: ignore[no-untyped-def]
    """The product of two extension elements: uint64."""
    # Four products of numbers below 2^31 add up to less than 2^64.
    return (
        (a0 * b0 + (a1 * b3 + a2 * b2 + a3 * b1) % p * w) % p,
        (a0 * b1 + a1 * b0 + (a2 * b3 + a3 * b2) % p * w) % p,
        (a0 * b2 + a1 * b1 + a2 * b0 + a3 * b3 % p * w) % p,
        (a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0) % p,
    )


_times = compiled(_times, error_model="numpy")


def _element_powers(base, w, p, out):  # type: ignore[no-untyped-def]
    """out[i] = base^i: uint32[n, 4]; base: uint64[4], an extension element."""
    w, p = np.uint64(w), np.uint64(p)
    a0, a1, a2, a3 = np.uint64(1), np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(len(out)):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = a0, a1, a2, a3
        a0, a1, a2, a3 = _times(a0, a1, a2, a3, base[0], base[1], base[2], base[3], w, p)


element_powers = compiled(_element_powers, error_model="numpy")


def _inner_product(a, b, w, p, out):  # type: ignore[no-untyped-def]
    """The sum of a[i] b[i] into ``out``: uint64[4] of uint32[n, 4], extension elements."""
    w, p = np.uint64(w), np.uint64(p)
    out[:] = np.uint64(0)
    for i in range(len(a)):
        a0, a1, a2, a3 = np.uint64(a[i, 0]), np.uint64(a[i, 1]), np.uint64(a[i, 2]), np.uint64(a[i, 3])
        b0, b1, b2, b3 = np.uint64(b[i, 0]), np.uint64(b[i, 1]), np.uint64(b[i, 2]), np.uint64(b[i, 3])
        t0, t1, t2, t3 = _times(a0, a1, a2, a3, b0, b1, b2, b3, w, p)
        # Fewer than 2^33 elements.
        out[0] += t0
        out[1] += t1
        out[2] += t2
        out[3] += t3
    for part in range(4):
        out[part] %= p


inner_product = compiled(_inner_product, error_model="numpy")


def _add_quotients(values, points, z, value, factor, w, p, out):  # type: ignore[no-untyped-def]
    """out[i] += factor (values[i] - value) / (points[i] - z): what is a polynomial where ``value`` is that at z.

    values, out: uint32[n, 4]; points: uint32[n]; z, value, factor: uint64[4]; z is not in the field itself

    With X^4 = w and Y = X^2, x - z = even(Y) + X odd(Y). Its product with even - X odd is even^2 - Y odd^2 = c + d Y,
    and that one's with c - d Y is c^2 - w d^2, an element of the field: those are inverted all at once.
    """
    w, p, two = np.uint64(w), np.uint64(p), np.uint64(2)
    d1, d2, d3 = (p - z[1]) % p, (p - z[2]) % p, (p - z[3]) % p
    c_rest = (d2 * d2 % p * w + two * (p - d1 * d3 % p) % p * w) % p
    d_rest = (p - (d1 * d1 + d3 * d3 % p * w) % p) % p
    norms = np.empty((2, len(points)), dtype=np.uint32)
    for i in range(len(points)):
        d0 = (np.uint64(points[i]) + p - z[0]) % p
        c, d = (d0 * d0 + c_rest) % p, (two * d0 * d2 + d_rest) % p
        norms[0, i] = (c * c + (p - d * d % p) * w) % p
    inverses(norms[0], p, norms[1])
    for i in range(len(points)):
        d0 = (np.uint64(points[i]) + p - z[0]) % p
        norm = np.uint64(norms[1, i])
        c = (d0 * d0 + c_rest) % p * norm % p
        d = (p - (two * d0 * d2 + d_rest) % p * norm % p) % p
        even, odd = (d0 * c + d2 * d % p * w) % p, (d1 * c + d3 * d % p * w) % p
        even_y, odd_y = (d2 * c + d0 * d) % p, (d3 * c + d1 * d) % p
        f0, f1, f2, f3 = _times(even, p - odd, even_y, p - odd_y, factor[0], factor[1], factor[2], factor[3], w, p)
        t0, t1, t2, t3 = (
            (np.uint64(values[i, 0]) + p - value[0]) % p,
            (np.uint64(values[i, 1]) + p - value[1]) % p,
            (np.uint64(values[i, 2]) + p - value[2]) % p,
            (np.uint64(values[i, 3]) + p - value[3]) % p,
        )
        f0, f1, f2, f3 = _times(f0, f1, f2, f3, t0, t1, t2, t3, w, p)
        out[i, 0] = (np.uint64(out[i, 0]) + f0) % p
        out[i, 1] = (np.uint64(out[i, 1]) + f1) % p
        out[i, 2] = (np.uint64(out[i, 2]) + f2) % p
        out[i, 3] = (np.uint64(out[i, 3]) + f3) % p


add_quotients = compiled(_add_quotients, error_model="numpy")
