// Moving 32-byte nodes: what trees and tries do between their batches of hashes. Hashes nothing.

static inline void copy_node(global const uchar *from, global uchar *to)
{
    // Nodes lie anywhere in a caller's array: bytes, which need no alignment.
    vstore16(vload16(0, from), 0, to);
    vstore16(vload16(1, from), 1, to);
}

// Nodes from three places to out[0..count]: source s >= 0 is row s of `fresh`; -1 - s below `stored` is that row of `nodes`;
// beyond, it is a row of `zeros`.
kernel void gather(global const long *source, ulong count, global const uchar *fresh, global const uchar *nodes,
                   ulong stored, global const uchar *zeros, global uchar *out)
{
    for (ulong i = get_global_id(0); i < count; i += get_global_size(0)) {
        long s = source[i];
        ulong other = (ulong)(-1 - s);
        global const uchar *from = s >= 0 ? fresh + 32 * (ulong)s
            : other < stored ? nodes + 32 * other : zeros + 32 * (other - stored);
        copy_node(from, out + 32 * i);
    }
}

// The sibling of every node on the way from leaf indices[k] up, level l's to siblings[k][l]; bounds[l] is where level l
// begins in `nodes`. A sibling that is not stored is row l of `zeros`.
kernel void open_paths(global const uchar *nodes, global const ulong *bounds, ulong depth, global const uchar *zeros,
                       global const ulong *indices, ulong count, global uchar *siblings)
{
    for (ulong i = get_global_id(0); i < count * depth; i += get_global_size(0)) {
        ulong level = i % depth;
        ulong at = bounds[level] + ((indices[i / depth] >> level) ^ 1);
        copy_node(at < bounds[level + 1] ? nodes + 32 * at : zeros + 32 * level, siblings + 32 * i);
    }
}

// Put digests[child[s]] into the bytes at[s]..at[s]+32 of `encodings`, for every s of first..first+count.
kernel void splice(global uchar *encodings, global const ulong *at, global const ulong *child, ulong first, ulong count,
                   global const uchar *digests)
{
    for (ulong i = get_global_id(0); i < count; i += get_global_size(0))
        copy_node(digests + 32 * child[first + i], encodings + at[first + i]);
}
