// The kernels over batches, for the hash whose file includes this one: pairs of digests, and ragged messages.
//
// Digests and nodes lie end to end, 32 bytes each. Positions and counts have 64 bits throughout.

#define DIGEST 32UL
#define NODE 64UL

// Digests in state[0..DIGEST_WORDS-1] to `to`, those of the first `lanes` messages.
static inline void store_digests(word *state, global uchar *to, int lanes)
{
#if LANES == 1
#pragma unroll
    for (int i = 0; i < DIGEST_WORDS; i++)
        store_base(to + i * BASE_BYTES, TO_BYTES(state[i]));
#elif LANES > DIGEST_WORDS
    // Twice as many lanes as words: a row is two digests.
    word rows[DIGEST_WORDS];
#pragma unroll
    for (int i = 0; i < DIGEST_WORDS; i++)
        rows[i] = TO_BYTES(state[i]);
    INTERLEAVE(rows, DIGEST_WORDS);
    if (lanes == LANES) {
#pragma unroll
        for (int i = 0; i < DIGEST_WORDS; i++)
            store_row(to + 2 * i * DIGEST, rows[i]);
    } else {
        for (int byte = 0; byte < lanes * (int)DIGEST; byte++)
            to[byte] = ((uchar *)rows)[byte];
    }
#else
#pragma unroll
    for (int part = 0; part < DIGEST_WORDS; part += LANES) {
        word rows[LANES];
#pragma unroll
        for (int i = 0; i < LANES; i++)
            rows[i] = TO_BYTES(state[part + i]);
        INTERLEAVE(rows, LANES);
#pragma unroll
        for (int i = 0; i < LANES; i++)
            if (i < lanes)
                store_row(to + i * DIGEST + part * BASE_BYTES, rows[i]);
    }
#endif
}

// Hash the first `lanes` of LANES pairs of digests. They lie end to end at `from`, but for pair number `odd`, which is at
// `odd_pair`. With `copies`, the pairs that lie at `from` are written to `copied`, too.
static inline void hash_group(global const uchar *from, global uchar *to, int lanes, int odd, global const uchar *odd_pair,
                       int copies, global uchar *copied)
{
    word state[STATE_WORDS > NODE_WORDS ? STATE_WORDS : NODE_WORDS];
#if LANES == 1
    global const uchar *row = odd == 0 ? odd_pair : from;
#pragma unroll
    for (int i = 0; i < NODE_WORDS; i++) {
#if ZERO_COPY
        BASE value = load_base(row, i * BASE_BYTES);
#else
        BASE value = ((global const BASE *)row)[i];
#endif
        if (copies && odd != 0)
            store_base(copied + i * BASE_BYTES, value);
        state[i] = FROM_BYTES(value);
    }
#else
#pragma unroll
    for (int part = 0; part < NODE_WORDS; part += LANES) {
        word rows[LANES];
#pragma unroll
        for (int i = 0; i < LANES; i++) {
            // A group that is not full repeats its last pair; nothing is read past it.
            int pair = min(i, lanes - 1);
            global const uchar *row = pair == odd ? odd_pair : from + pair * NODE;
            rows[i] = load_row(row + part * BASE_BYTES);
            if (copies && i < lanes && i != odd)
                store_row(copied + i * NODE + part * BASE_BYTES, rows[i]);
        }
        INTERLEAVE(rows, LANES);
#pragma unroll
        for (int i = 0; i < LANES; i++)
            state[part + i] = FROM_BYTES(rows[i]);
    }
#endif
    hash_node(state);
    store_digests(state, to, lanes);
}

// Where a batch of pairs is on the device: `count` pairs end to end at `src`, of which only the first `whole` are there in
// full. A last one beyond these has its first half there and `zero`, the root of an empty subtree, for the second; it is
// put together in the 64 bytes of `odd_pair`. Digests go to `dst`, and with `copies` the pairs to `copied`, too.
struct pairs {
    global const uchar *src;
    global uchar *dst;
    ulong count, whole;
    global const uchar *zero;
    global uchar *odd_pair;
    int copies;
    global uchar *copied;
};

static inline ulong groups_of(ulong count)
{
    return (count + LANES - 1) / LANES;
}

// Hash the groups first, first + step, ... below last, LANES pairs each.
static inline void hash_groups(const struct pairs *p, ulong first, ulong step, ulong last)
{
    for (ulong group = first; group < last; group += step) {
        ulong at = group * LANES;
        int lanes = (int)min((ulong)LANES, p->count - at);
        int odd = -1;
        if (p->whole < p->count && at + lanes == p->count) {
            odd = lanes - 1;
            for (ulong byte = 0; byte < DIGEST; byte++) {
                uchar left = p->src[p->whole * NODE + byte];
                p->odd_pair[byte] = left;
                p->odd_pair[DIGEST + byte] = p->zero[byte];
                if (p->copies)
                    p->copied[p->whole * NODE + byte] = left;
            }
        }
        hash_group(p->src + at * NODE, p->dst + at * DIGEST, lanes, odd, p->odd_pair, p->copies, p->copied + at * NODE);
    }
}

// One batch of pairs: `count` at src[src_at..], to dst[dst_at..]. A work-item hashes `items` groups of LANES pairs.
kernel void hash_pairs(global const uchar *src, ulong src_at, global uchar *dst, ulong dst_at, ulong count, ulong whole,
                       global const uchar *zeros, ulong zero_at, global uchar *odd_pair, int copies,
                       global uchar *copied, ulong items)
{
    struct pairs p = {src + src_at, dst + dst_at, count, whole, zeros + zero_at, odd_pair, copies, copied};
#if LANES == 1
    // Neighbouring work-items at neighbouring messages: what a device with wide memory wants.
    hash_groups(&p, get_global_id(0), get_global_size(0), groups_of(count));
#else
    ulong first = get_global_id(0) * items;
    hash_groups(&p, first, 1, min(first + items, groups_of(count)));
#endif
}

// `height` levels of a tree above level `base`, in `trees` subtrees of which each work-group builds one after another:
// level l is nodes[bounds[l]..bounds[l + 1]]. Where base is 0 the leaves are read from `leaves` and, with `copies`, put in
// front of the nodes.
kernel void hash_levels(global const uchar *leaves, int copies, global uchar *nodes, global const ulong *bounds,
                        ulong base, ulong height, ulong trees, global const uchar *zeros, global uchar *odd_pair)
{
    for (ulong tree = get_group_id(0); tree < trees; tree += get_num_groups(0))
        for (ulong up = 0; up < height; up++) {
            ulong level = base + up;
            ulong nodes_here = bounds[level + 1] - bounds[level], nodes_above = bounds[level + 2] - bounds[level + 1];
            ulong span = 1UL << (height - 1 - up), first = tree * span;
            if (first < nodes_above) {
                ulong count = min(span, nodes_above - first);
                global const uchar *src = level ? nodes + bounds[level] * DIGEST : leaves;
                struct pairs p = {src + first * NODE,
                                  nodes + (bounds[level + 1] + first) * DIGEST,
                                  count,
                                  min(count, nodes_here / 2 - first),
                                  zeros + level * DIGEST,
                                  odd_pair,
                                  copies && level == 0,
                                  nodes + first * NODE};
                hash_groups(&p, get_local_id(0), get_local_size(0), groups_of(count));
            }
            // The next level reads what the whole group wrote.
            barrier(CLK_GLOBAL_MEM_FENCE);
        }
}

// The next words of LANES messages, message j's at base[j] + at[j].
static inline void load_block(word *block, global const uchar **base, const ulong *at)
{
#if LANES == 1
#if ZERO_COPY
#pragma unroll
    for (int i = 0; i < BLOCK_WORDS; i++)
        block[i] = FROM_BYTES(load_base(base[0], at[0] + i * BASE_BYTES));
#else
    // As load_base has it, but every aligned word is read once.
    global const BASE *words = (global const BASE *)base[0] + at[0] / BASE_BYTES;
    uint shift = 8 * (uint)(at[0] % BASE_BYTES);
    BASE low = words[0];
#pragma unroll
    for (int i = 0; i < BLOCK_WORDS; i++) {
        BASE high = words[i + 1];
        block[i] = FROM_BYTES(shift ? (low >> shift) | (high << (8 * BASE_BYTES - shift)) : low);
        low = high;
    }
#endif
#else
#pragma unroll
    for (int part = 0; part + LANES <= BLOCK_WORDS; part += LANES) {
        word rows[LANES];
#pragma unroll
        for (int i = 0; i < LANES; i++)
#if ZERO_COPY
            rows[i] = load_row(base[i] + at[i] + part * BASE_BYTES);
#else
            for (int lane = 0; lane < LANES; lane++)
                ((BASE *)&rows[i])[lane] = load_base(base[i], at[i] + (part + lane) * BASE_BYTES);
#endif
        INTERLEAVE(rows, LANES);
#pragma unroll
        for (int i = 0; i < LANES; i++)
            block[part + i] = FROM_BYTES(rows[i]);
    }
#pragma unroll
    for (int part = BLOCK_WORDS / LANES * LANES; part < BLOCK_WORDS; part++) {
        word column;
#pragma unroll
        for (int i = 0; i < LANES; i++)
            ((BASE *)&column)[i] = load_base(base[i], at[i] + part * BASE_BYTES);
        block[part] = FROM_BYTES(column);
    }
#endif
}

// Digests of the messages order[first..first+count], or first..first+count where there is no order: message m is
// data[offsets[m]..offsets[m+1]], its digest goes to digests[32 m..]. The end of the data, from tail_from on, is in `tail`
// once more, with at least BLOCK zeros behind it: what begins there is read from it, so that nothing is read past the data.
//
// LANES messages go side by side until the longest of them ends; a work-item hashes `items` such groups.
kernel void hash_ragged(global const uchar *data, global const ulong *offsets, global const ulong *order, int ordered,
                        ulong first, ulong count, global const uchar *tail, ulong tail_from, global uchar *digests,
                        ulong items)
{
    ulong groups = (count + LANES - 1) / LANES;
#if LANES == 1
    ulong group = get_global_id(0), step = get_global_size(0), last = groups;
#else
    ulong group = get_global_id(0) * items, step = 1, last = min(group + items, groups);
#endif
    for (; group < last; group += step) {
        ulong message[LANES], start_at[LANES], bytes[LANES], blocks[LANES], most = 0;
        word high, low;
        for (int i = 0; i < LANES; i++) {
            ulong number = group * LANES + i;
            // A lane without a message repeats the last one's and stores nothing.
            ulong m = first + min(number, count - 1);
            if (ordered)
                m = order[m];
            message[i] = m;
            start_at[i] = offsets[m];
            bytes[i] = offsets[m + 1] - offsets[m];
            blocks[i] = blocks_of(bytes[i]);
            most = max(most, blocks[i]);
            ((BASE *)&high)[i] = (BASE)(bytes[i] >> 29);
            ((BASE *)&low)[i] = (BASE)(bytes[i] << 3);
        }
        word state[STATE_WORDS];
        start(state);
        for (ulong number = 0; number < most; number++) {
            ulong done = number * BLOCK;
            global const uchar *base[LANES];
            ulong at[LANES];
            sword left, closes;
            int all_whole = 1, any_closes = 0;
            for (int i = 0; i < LANES; i++) {
                // How much is left matters only where it is less than a block; a message that has ended has 0 left.
                ulong rest = bytes[i] > done ? bytes[i] - done : 0;
                ((SIGNED *)&left)[i] = (SIGNED)min(rest, (ulong)(2 * BLOCK));
                int ends = number + 1 == blocks[i];
                ((SIGNED *)&closes)[i] = ends ? -1 : 0;
                any_closes |= ends;
                all_whole &= rest >= BLOCK;
                ulong from = rest ? start_at[i] + done : tail_from;
                base[i] = from >= tail_from ? tail : data;
                at[i] = from >= tail_from ? from - tail_from : from;
            }
            word block[BLOCK_WORDS];
            load_block(block, base, at);
            if (!all_whole) {
                // Only in the block where the message ends is there padding: right behind its last byte.
                word due = (word)(0);
#pragma unroll
                for (int i = 0; i < LANES; i++)
                    ((BASE *)&due)[i] = done <= bytes[i] && bytes[i] < done + BLOCK ? (BASE)(-1) : 0;
#pragma unroll
                for (int i = 0; i < BLOCK_WORDS; i++) {
                    sword here = left - (sword)(i * (int)BASE_BYTES);
                    sword within = here & (sword)((int)BASE_BYTES - 1);
                    word kept = block[i] & FIRST_BYTES(as_word(within));
                    word cut = kept | (due & PADDING_AFTER(as_word(within)));
                    word ended = select((word)0, cut, (sword)(here >= (sword)0));
                    block[i] = select(ended, block[i], (sword)(here >= (sword)((int)BASE_BYTES)));
                }
            }
            if (any_closes)
                close(block, as_word(closes), high, low);
            absorb(state, block);
            if (any_closes) {
                word digest[DIGEST_WORDS];
#pragma unroll
                for (int i = 0; i < DIGEST_WORDS; i++)
                    digest[i] = TO_BYTES(state[i]);
                for (int i = 0; i < LANES; i++)
                    if (number + 1 == blocks[i] && group * LANES + i < count)
                        for (int part = 0; part < DIGEST_WORDS; part++)
                            store_base(digests + message[i] * DIGEST + part * BASE_BYTES, ((BASE *)&digest[part])[i]);
            }
        }
    }
}
