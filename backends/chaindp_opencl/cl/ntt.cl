// Number-theoretic transforms of rows, in passes of up to four stages that each go from one place in memory to another.
//
// A pass of radix r over rows of n elements takes the elements t, t + n/r, t + 2 n/r, ... transforms these r, and puts them
// to where the next pass finds them likewise, so that the result of the last one is in natural order: Stockham's way. Let a
// pass come after others of radices whose product is s, its stride, and t = q + s p with q below s: result k is times
// w^(s p k), w being the root of order n, and goes to q + s (r p + k).
//
// Elements are as the caller has them, and factors times R, so that products are plain ones.

#include "field.cl"

static inline void butterfly(word *low, word *high)
{
    word sum = add(*low, *high);
    *high = sub(*low, *high);
    *low = sum;
}

// Of x[0..r], in place, to the order of reversed bits. Roots: the powers of the root of order 16, from its 0th on.
static inline void transform_1(word *x, constant const uint *roots) { }

static inline void transform_2(word *x, constant const uint *roots) { butterfly(x, x + 1); }

// Halves the numbers of results: the even ones are the transform of the sums, the odd ones that of the twisted differences.
#define SPLIT(x, radix) do { \
        _Pragma("unroll") \
        for (int i = 0; i < (radix) / 2; i++) { \
            butterfly(x + i, x + i + (radix) / 2); \
            if (i) \
                x[i + (radix) / 2] = product(x[i + (radix) / 2], (word)roots[i * (16 / (radix))]); \
        } \
    } while (0)

static inline void transform_4(word *x, constant const uint *roots)
{
    SPLIT(x, 4);
    transform_2(x, roots);
    transform_2(x + 2, roots);
}

static inline void transform_8(word *x, constant const uint *roots)
{
    SPLIT(x, 8);
    transform_4(x, roots);
    transform_4(x + 4, roots);
}

static inline void transform_16(word *x, constant const uint *roots)
{
    SPLIT(x, 16);
    transform_8(x, roots);
    transform_8(x + 8, roots);
}

// Words of the tables of a pass: the factors of result 1 for every p, then those of result 2, ...
static inline ulong factors_of(uint log_radix, uint log_rest)
{
    return ((1UL << log_radix) - 1) << log_rest;
}

// k with its LOG_RADIX bits in reverse.
#define REVERSED(k) (((k) >> 3 & 1 | (k) >> 1 & 2 | (k) << 1 & 4 | (k) << 3 & 8) >> (4 - LOG_RADIX))

#define LOG_RADIX 0
#define RADIX 1
#include "pass.cl"
#undef LOG_RADIX
#undef RADIX
#define LOG_RADIX 1
#define RADIX 2
#include "pass.cl"
#undef LOG_RADIX
#undef RADIX
#define LOG_RADIX 2
#define RADIX 4
#include "pass.cl"
#undef LOG_RADIX
#undef RADIX
#define LOG_RADIX 3
#define RADIX 8
#include "pass.cl"
#undef LOG_RADIX
#undef RADIX
#define LOG_RADIX 4
#define RADIX 16
#include "pass.cl"

// Whole transforms of rows, one after another while they are in the cache: for CPUs. Each work-item has a row of its own in
// `room`, and passes go to and fro between that and the row's place in `target`, where the last one ends.
kernel void transform_rows(global const uint *source, ulong present, global uint *target, global uint *room, uint log_size,
                           global const uint *factors, constant const uint *roots, global const uint *scale, uint scaling,
                           uint constant_scale, ulong rows, ulong items)
{
    ulong first = get_global_id(0) * items, last = min(first + items, rows);
    global uint *own = room + (get_global_id(0) << log_size);
    uint passes = max((log_size + 3) / 4, 1u);
    for (ulong row = first; row < last; row++) {
        global const uint *from = source + row * present;
        global const uint *table = factors;
        ulong here = present;
        for (uint pass = 0; pass < passes; pass++) {
            uint done = 4 * pass, log_radix = min(log_size - done, 4u);
            global uint *to = (passes - pass) & 1 ? target + (row << log_size) : own;
            ulong steps = 1UL << (log_size - log_radix - LOG_LANES);
            if (log_radix == 4)
                steps_4(from, here, to, log_size, done, 0, steps, table, roots, scale, scaling, constant_scale);
            else if (log_radix == 3)
                steps_3(from, here, to, log_size, done, 0, steps, table, roots, scale, scaling, constant_scale);
            else if (log_radix == 2)
                steps_2(from, here, to, log_size, done, 0, steps, table, roots, scale, scaling, constant_scale);
            else if (log_radix == 1)
                steps_1(from, here, to, log_size, done, 0, steps, table, roots, scale, scaling, constant_scale);
            else
                steps_0(from, here, to, log_size, done, 0, steps, table, roots, scale, scaling, constant_scale);
            table += factors_of(log_radix, log_size - done - log_radix);
            from = to;
            here = 1UL << log_size;
        }
    }
}

// out[at + i] = b^(((i / m) + 1) (i mod m) s), where m = 2^log_row and s = 2^log_step, for i below count: with m = count,
// plain powers. Powers of b are products of two: low has the first 2^bits of them, high those of b^(2^bits).
kernel void fill_powers(global uint *out, ulong at, uint log_row, uint log_step, global const uint *low,
                        global const uint *high, uint bits, ulong count, ulong items)
{
    ulong first = get_global_id(0) * items, last = min(first + items, count);
    for (ulong i = first; i < last; i++) {
        ulong exponent = ((i >> log_row) + 1) * (i & ((1UL << log_row) - 1)) << log_step;
        out[at + i] = product_of_one(high[exponent >> bits], low[exponent & ((1UL << bits) - 1)]);
    }
}
