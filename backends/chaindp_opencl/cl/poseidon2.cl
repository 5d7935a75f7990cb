// Poseidon2 of width 16. Reference: Grassi, Khovratovich, Schofnegger, https://eprint.iacr.org/2023/323.
//
// Defined by the host: SQUARE (R^2 modulo p), EXPONENT (3 or 7), INTERNAL_ROUNDS, and the internal layer's diagonal,
// element i being NUMERATOR_i / 2^SHIFT_i with a numerator from -4 to 4, and no shift where that is not 1 or -1.

#include "field.cl"

#define WIDTH 16
#define HALF_OF_EXTERNAL 4

static inline word power(word x)
{
    word cube = product(product(x, x), x);
#if EXPONENT == 3
    return cube;
#else
    return product(product(cube, cube), x);
#endif
}

// The matrix (2 3 1 1, 1 2 3 1, 1 1 2 3, 3 1 1 2) on each four elements, and to each element the sum of its like in all
// fours. Row by row this is what the four have in common, their sum, and one or two of them again.
static inline void external_layer(word *s)
{
#pragma unroll
    for (int i = 0; i < WIDTH; i += 4) {
        word a = add(s[i], s[i + 1]), b = add(s[i + 2], s[i + 3]), all = add(a, b);
        word second = add(all, s[i + 1]), fourth = add(all, s[i + 3]);
        word twice_first = add(s[i], s[i]), twice_third = add(s[i + 2], s[i + 2]);
        s[i] = add(second, a);
        s[i + 1] = add(second, twice_third);
        s[i + 2] = add(fourth, b);
        s[i + 3] = add(fourth, twice_first);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        word sum = add(add(s[i], s[i + 4]), add(s[i + 8], s[i + 12]));
        s[i] = add(s[i], sum);
        s[i + 4] = add(s[i + 4], sum);
        s[i + 8] = add(s[i + 8], sum);
        s[i + 12] = add(s[i + 12], sum);
    }
}

static inline void external_rounds(word *s, constant const uint *added)
{
    for (int round = 0; round < HALF_OF_EXTERNAL; round++) {
#pragma unroll
        for (int i = 0; i < WIDTH; i++)
            s[i] = power(add(s[i], (word)added[WIDTH * round + i]));
        external_layer(s);
    }
}

// total + x numerator / 2^shift. Both are constants, of which the compiler makes one of these ways.
static inline word plus_multiple(word total, word x, int numerator, uint shift)
{
    if (shift)
        x = shift == 1 ? halved(x) : shifted_down(x, shift);
    int times = numerator < 0 ? -numerator : numerator;
    word multiple = times == 1 ? x : add(x, x);
    if (times == 3)
        multiple = add(multiple, x);
    if (times == 4)
        multiple = add(multiple, multiple);
    return numerator < 0 ? sub(total, multiple) : add(total, multiple);
}

#define DIAGONAL(i) s[i] = plus_multiple(total, s[i], NUMERATOR_##i, SHIFT_##i)

static inline void internal_rounds(word *s, constant const uint *added)
{
    for (int round = 0; round < INTERNAL_ROUNDS; round++) {
        s[0] = power(add(s[0], (word)added[round]));
        word sums[WIDTH / 2];
#pragma unroll
        for (int i = 0; i < WIDTH / 2; i++)
            sums[i] = add(s[i], s[i + WIDTH / 2]);
        word total = add(add(add(sums[0], sums[1]), add(sums[2], sums[3])), add(add(sums[4], sums[5]), add(sums[6], sums[7])));
        DIAGONAL(0); DIAGONAL(1); DIAGONAL(2); DIAGONAL(3); DIAGONAL(4); DIAGONAL(5); DIAGONAL(6); DIAGONAL(7);
        DIAGONAL(8); DIAGONAL(9); DIAGONAL(10); DIAGONAL(11); DIAGONAL(12); DIAGONAL(13); DIAGONAL(14); DIAGONAL(15);
    }
}

// `count` states to as many, LANES at a time, in `groups` such groups of which a work-item does `items`. Constants: times
// R, those of the first external rounds, of the internal ones, of the last external ones.
kernel void permute(global const uint *states, global uint *permuted, ulong count, constant const uint *constants,
                    ulong groups, ulong items)
{
    ulong first = get_global_id(0) * items, last = min(first + items, groups);
    for (ulong group = first; group < last; group++) {
        ulong at = group * LANES, here = count - at;
        word s[WIDTH];
        GATHER(s, 4, states + WIDTH * at, here);
#pragma unroll
        for (int i = 0; i < WIDTH; i++)
            s[i] = product(s[i], (word)(uint)SQUARE);
        external_layer(s);
        external_rounds(s, constants);
        internal_rounds(s, constants + HALF_OF_EXTERNAL * WIDTH);
        external_rounds(s, constants + HALF_OF_EXTERNAL * WIDTH + INTERNAL_ROUNDS);
#pragma unroll
        for (int i = 0; i < WIDTH; i++)
            s[i] = product(s[i], (word)1);
        SCATTER(s, 4, permuted + WIDTH * at, here);
    }
}
