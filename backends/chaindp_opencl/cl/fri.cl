// Folding of FRI codewords: elements of the extension field of degree 4, four coefficients each, polynomials modulo X^4 - W.

#include "field.cl"

#define DEGREE 4

// Results first..first+count of a codeword, of values low[i] and high[i] at x and at -x each:
// (low + high) / 2 + challenge (low - high) / (2 x), LANES at a time, in `groups` such groups of which a work-item does
// `items`.
//
// matrix:    row j is the coefficients of challenge X^j / 2s, times R, where s is the point x of result 0
// near, far: powers of 1/w, the inverse of the ratio of neighbouring points x, times R: the first 2^bits, and those of
//            w^-(2^bits)
kernel void fold(global const uint *low, ulong low_at, global const uint *high, ulong high_at, global uint *folded,
                 ulong first, ulong count, constant const uint *matrix, global const uint *near, global const uint *far,
                 uint bits, ulong groups, ulong items)
{
    ulong start = get_global_id(0) * items, last = min(start + items, groups);
    ulong mask = (1UL << bits) - 1;
    for (ulong group = start; group < last; group++) {
        ulong at = group * LANES, here = count - at;
        word a[DEGREE], b[DEGREE], odd[DEGREE];
        GATHER(a, 2, low + low_at + DEGREE * at, here);
        GATHER(b, 2, high + high_at + DEGREE * at, here);
        uint points[LANES];
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) {
            // Lanes without a result take the last one's factor, so that no table is read beyond its end.
            ulong place = first + min(at + lane, count - 1);
            points[lane] = product_of_one(far[place >> bits], near[place & mask]);
        }
        word factor = OF_ROOM(0, points);
#pragma unroll
        for (int i = 0; i < DEGREE; i++)
            odd[i] = product(sub(a[i], b[i]), factor);
#pragma unroll
        for (int i = 0; i < DEGREE; i++) {
            word sum = halved(add(a[i], b[i]));
#pragma unroll
            for (int j = 0; j < DEGREE; j++)
                sum = add(sum, product(odd[j], (word)matrix[DEGREE * j + i]));
            a[i] = sum;
        }
        SCATTER(a, 2, folded + DEGREE * at, here);
    }
}
