// Keccak-256 as Ethereum has it: padding 0x01, not SHA3-256's 0x06 (FIPS 202 for the permutation).
//
// Defined by the host: UNROLL, how many rounds a turn of the loop over the 24 rounds has.

#define BASE ulong
#define SIGNED long
#define BLOCK 136
#define BLOCK_WORDS 17
#define NODE_WORDS 8
#define DIGEST_WORDS 4
#define STATE_WORDS 25
#define FROM_BYTES(x) (x)
#define TO_BYTES(x) (x)
// The first bytes of a word are its lowest: which bits they are, and the first bit of the padding right behind them.
#define FIRST_BYTES(count) (((word)1 << (8 * (count))) - (word)1)
#define PADDING_AFTER(count) ((word)1 << (8 * (count)))

#include "lanes.cl"

// FIPS 202, algorithm 5.
constant ulong IOTA[24] = {
    0x0000000000000001UL, 0x0000000000008082UL, 0x800000000000808aUL, 0x8000000080008000UL,
    0x000000000000808bUL, 0x0000000080000001UL, 0x8000000080008081UL, 0x8000000000008009UL,
    0x000000000000008aUL, 0x0000000000000088UL, 0x0000000080008009UL, 0x000000008000000aUL,
    0x000000008000808bUL, 0x800000000000008bUL, 0x8000000000008089UL, 0x8000000000008003UL,
    0x8000000000008002UL, 0x8000000000000080UL, 0x000000000000800aUL, 0x800000008000000aUL,
    0x8000000080008081UL, 0x8000000000008080UL, 0x0000000080000001UL, 0x8000000080008008UL
};

#define ROL(x, by) rotate((x), (word)(by))

// One row of chi, after theta, rho and pi have brought its five lanes together.
#define CHI(y, b0, b1, b2, b3, b4) \
    next[y] = (b0) ^ (~(b1) & (b2)); \
    next[y + 1] = (b1) ^ (~(b2) & (b3)); \
    next[y + 2] = (b2) ^ (~(b3) & (b4)); \
    next[y + 3] = (b3) ^ (~(b4) & (b0)); \
    next[y + 4] = (b4) ^ (~(b0) & (b1));

// Keccak-f[1600] over lanes x + 5y, in place.
static inline void permute(word *a)
{
#pragma unroll UNROLL
    for (int round = 0; round < 24; round++) {
        word c0 = a[0] ^ a[5] ^ a[10] ^ a[15] ^ a[20];
        word c1 = a[1] ^ a[6] ^ a[11] ^ a[16] ^ a[21];
        word c2 = a[2] ^ a[7] ^ a[12] ^ a[17] ^ a[22];
        word c3 = a[3] ^ a[8] ^ a[13] ^ a[18] ^ a[23];
        word c4 = a[4] ^ a[9] ^ a[14] ^ a[19] ^ a[24];
        word d0 = c4 ^ ROL(c1, 1), d1 = c0 ^ ROL(c2, 1), d2 = c1 ^ ROL(c3, 1), d3 = c2 ^ ROL(c4, 1), d4 = c3 ^ ROL(c0, 1);
        word next[25];
        CHI(0, a[0] ^ d0, ROL(a[6] ^ d1, 44), ROL(a[12] ^ d2, 43), ROL(a[18] ^ d3, 21), ROL(a[24] ^ d4, 14))
        CHI(5, ROL(a[3] ^ d3, 28), ROL(a[9] ^ d4, 20), ROL(a[10] ^ d0, 3), ROL(a[16] ^ d1, 45), ROL(a[22] ^ d2, 61))
        CHI(10, ROL(a[1] ^ d1, 1), ROL(a[7] ^ d2, 6), ROL(a[13] ^ d3, 25), ROL(a[19] ^ d4, 8), ROL(a[20] ^ d0, 18))
        CHI(15, ROL(a[4] ^ d4, 27), ROL(a[5] ^ d0, 36), ROL(a[11] ^ d1, 10), ROL(a[17] ^ d2, 15), ROL(a[23] ^ d3, 56))
        CHI(20, ROL(a[2] ^ d2, 62), ROL(a[8] ^ d3, 55), ROL(a[14] ^ d4, 39), ROL(a[15] ^ d0, 41), ROL(a[21] ^ d1, 2))
        next[0] ^= (word)IOTA[round];
#pragma unroll
        for (int i = 0; i < 25; i++)
            a[i] = next[i];
    }
}

static inline void start(word *state)
{
#pragma unroll
    for (int i = 0; i < STATE_WORDS; i++)
        state[i] = (word)0;
}

// Absorb one block.
static inline void absorb(word *state, const word *block)
{
#pragma unroll
    for (int i = 0; i < BLOCK_WORDS; i++)
        state[i] ^= block[i];
    permute(state);
}

// 64 bytes, two digests: the words in state[0..7] to the digest in state[0..3].
static inline void hash_node(word *state)
{
    state[8] = (word)1;
#pragma unroll
    for (int i = 9; i < STATE_WORDS; i++)
        state[i] = (word)0;
    state[BLOCK_WORDS - 1] = (word)(0x80UL << 56);
    permute(state);
}

static inline ulong blocks_of(ulong bytes)
{
    return bytes / BLOCK + 1;
}

// What the last block has besides the message and the first byte of the padding.
static inline void close(word *block, word last, word high, word low)
{
    block[BLOCK_WORDS - 1] ^= last & (word)(0x80UL << 56);
}

#include "batch.cl"
