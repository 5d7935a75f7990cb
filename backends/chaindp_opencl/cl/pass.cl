// A pass of radix RADIX = 2^LOG_RADIX, both defined by ntt.cl, which includes this once a radix.

// Steps first..last of one row: each is a transform of RADIX elements in every lane, of LANES neighbouring t.
//
// from: `present` elements of the row, the rest of its n being zeros
// log_stride: of the product of the radices of the passes before
// scaling: in the last pass 1 is to multiply all results by constant_scale, 2 is to multiply result i by scale[i]
static inline void JOIN(steps_, LOG_RADIX)(
    global const uint *from, ulong present, global uint *to, uint log_size, uint log_stride, ulong first, ulong last,
    global const uint *factors, constant const uint *roots, global const uint *scale, uint scaling, uint constant_scale)
{
    ulong apart = 1UL << (log_size - LOG_RADIX);
    uint log_rest = log_size - LOG_RADIX - log_stride;
    for (ulong step = first; step < last; step++) {
        ulong t = step * LANES;
        word x[RADIX];
#pragma unroll
        for (int j = 0; j < RADIX; j++)
            x[j] = t + apart * j < present ? load(from + t + apart * j) : (word)0;
        JOIN(transform_, RADIX)(x, roots);
        word y[RADIX];
#pragma unroll
        for (int k = 0; k < RADIX; k++)
            y[k] = x[REVERSED(k)];
        // There are LANES or more of q, or it is always 0: neighbouring t are neighbouring q with the same p, or neighbouring p.
        ulong q = t & ((1UL << log_stride) - 1), p = t >> log_stride;
        if (log_rest) {
            if (log_stride) {
#pragma unroll
                for (int k = 1; k < RADIX; k++)
                    y[k] = product(y[k], (word)factors[((ulong)(k - 1) << log_rest) + p]);
            } else {
#pragma unroll
                for (int k = 1; k < RADIX; k++)
                    y[k] = product(y[k], load(factors + ((ulong)(k - 1) << log_rest) + p));
            }
        } else if (scaling == 1) {
#pragma unroll
            for (int k = 0; k < RADIX; k++)
                y[k] = product(y[k], (word)constant_scale);
        } else if (scaling == 2) {
#pragma unroll
            for (int k = 0; k < RADIX; k++)
                y[k] = product(y[k], load(scale + q + ((ulong)k << log_stride)));
        }
#if RADIX > 1
        if (!log_stride) {
            SCATTER(y, LOG_RADIX, to + RADIX * t, LANES);
            continue;
        }
#endif
#pragma unroll
        for (int k = 0; k < RADIX; k++)
            store(to + q + ((RADIX * p + k) << log_stride), y[k]);
    }
}

// The steps of all rows, numbered through; a work-item does `items` of them.
kernel void JOIN(pass_, LOG_RADIX)(
    global const uint *source, ulong present, global uint *target, uint log_size, uint log_stride,
    global const uint *factors, ulong factors_at, constant const uint *roots, global const uint *scale, uint scaling,
    uint constant_scale, ulong steps, ulong items)
{
    ulong step = get_global_id(0) * items, last = min(step + items, steps);
    uint log_steps = log_size - LOG_RADIX - LOG_LANES;
    while (step < last) {
        // A run of steps of one row.
        ulong row = step >> log_steps, start = row << log_steps, end = min(last, start + (1UL << log_steps));
        JOIN(steps_, LOG_RADIX)(
            source + row * present, present, target + (row << log_size), log_size, log_stride, step - start, end - start,
            factors + factors_at, roots, scale, scaling, constant_scale);
        step = end;
    }
}
