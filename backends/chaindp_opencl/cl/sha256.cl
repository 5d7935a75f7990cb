// SHA-256 (FIPS 180-4).

#define BASE uint
#define SIGNED int
#define BLOCK 64
#define BLOCK_WORDS 16
#define NODE_WORDS 16
#define DIGEST_WORDS 8
#define STATE_WORDS 8
// The first bytes of a word are its highest: which bits they are, and the first bit of the padding right behind them.
#define FIRST_BYTES(count) (~((word)0xffffffffU >> (8 * (count))))
#define PADDING_AFTER(count) ((word)0x80000000U >> (8 * (count)))
// Its words are big-endian, the devices little-endian.
#define SWAP(x) ((rotate((x), (word)8) & (word)0x00ff00ffU) | (rotate((x), (word)24) & (word)0xff00ff00U))
#define FROM_BYTES(x) SWAP(x)
#define TO_BYTES(x) SWAP(x)

#include "lanes.cl"

// FIPS 180-4, 4.2.2 and 5.3.3.
constant uint K[64] = {
    0x428a2f98U, 0x71374491U, 0xb5c0fbcfU, 0xe9b5dba5U, 0x3956c25bU, 0x59f111f1U, 0x923f82a4U, 0xab1c5ed5U,
    0xd807aa98U, 0x12835b01U, 0x243185beU, 0x550c7dc3U, 0x72be5d74U, 0x80deb1feU, 0x9bdc06a7U, 0xc19bf174U,
    0xe49b69c1U, 0xefbe4786U, 0x0fc19dc6U, 0x240ca1ccU, 0x2de92c6fU, 0x4a7484aaU, 0x5cb0a9dcU, 0x76f988daU,
    0x983e5152U, 0xa831c66dU, 0xb00327c8U, 0xbf597fc7U, 0xc6e00bf3U, 0xd5a79147U, 0x06ca6351U, 0x14292967U,
    0x27b70a85U, 0x2e1b2138U, 0x4d2c6dfcU, 0x53380d13U, 0x650a7354U, 0x766a0abbU, 0x81c2c92eU, 0x92722c85U,
    0xa2bfe8a1U, 0xa81a664bU, 0xc24b8b70U, 0xc76c51a3U, 0xd192e819U, 0xd6990624U, 0xf40e3585U, 0x106aa070U,
    0x19a4c116U, 0x1e376c08U, 0x2748774cU, 0x34b0bcb5U, 0x391c0cb3U, 0x4ed8aa4aU, 0x5b9cca4fU, 0x682e6ff3U,
    0x748f82eeU, 0x78a5636fU, 0x84c87814U, 0x8cc70208U, 0x90befffaU, 0xa4506cebU, 0xbef9a3f7U, 0xc67178f2U
};

// K plus the message schedule of the second block of a 64-byte message, which holds nothing but padding and the length.
constant uint K_PADDING[64] = {
    0xc28a2f98U, 0x71374491U, 0xb5c0fbcfU, 0xe9b5dba5U, 0x3956c25bU, 0x59f111f1U, 0x923f82a4U, 0xab1c5ed5U,
    0xd807aa98U, 0x12835b01U, 0x243185beU, 0x550c7dc3U, 0x72be5d74U, 0x80deb1feU, 0x9bdc06a7U, 0xc19bf374U,
    0x649b69c1U, 0xf0fe4786U, 0x0fe1edc6U, 0x240cf254U, 0x4fe9346fU, 0x6cc984beU, 0x61b9411eU, 0x16f988faU,
    0xf2c65152U, 0xa88e5a6dU, 0xb019fc65U, 0xb9d99ec7U, 0x9a1231c3U, 0xe70eeaa0U, 0xfdb1232bU, 0xc7353eb0U,
    0x3069bad5U, 0xcb976d5fU, 0x5a0f118fU, 0xdc1eeefdU, 0x0a35b689U, 0xde0b7a04U, 0x58f4ca9dU, 0xe15d5b16U,
    0x007f3e86U, 0x37088980U, 0xa507ea32U, 0x6fab9537U, 0x17406110U, 0x0d8cd6f1U, 0xcdaa3b6dU, 0xc0bbbe37U,
    0x83613bdaU, 0xdb48a363U, 0x0b02e931U, 0x6fd15ca7U, 0x521afacaU, 0x31338431U, 0x6ed41a95U, 0x6d437890U,
    0xc39c91f2U, 0x9eccabbdU, 0xb5c9a0e6U, 0x532fb63cU, 0xd2c741c6U, 0x07237ea3U, 0xa4954b68U, 0x4c191d76U
};

constant uint INITIAL[8] = {0x6a09e667U, 0xbb67ae85U, 0x3c6ef372U, 0xa54ff53aU, 0x510e527fU, 0x9b05688cU, 0x1f83d9abU, 0x5be0cd19U};

#define ROR(x, by) rotate((x), (word)(32 - (by)))
#define CHOICE(e, f, g) ((g) ^ ((e) & ((f) ^ (g))))

#define MAJORITY(a, b, c) (((a) & (b)) | ((c) & ((a) | (b))))

// Round t, with the state's words turned by one place a round instead of moved.
#define ROUND(t, scheduled) do { \
        word e = s[(68 - (t)) % 8], a = s[(64 - (t)) % 8]; \
        word t1 = s[(71 - (t)) % 8] + (ROR(e, 6) ^ ROR(e, 11) ^ ROR(e, 25)) \
            + CHOICE(e, s[(69 - (t)) % 8], s[(70 - (t)) % 8]) + (scheduled); \
        s[(67 - (t)) % 8] += t1; \
        s[(71 - (t)) % 8] = t1 + (ROR(a, 2) ^ ROR(a, 13) ^ ROR(a, 22)) \
            + MAJORITY(a, s[(65 - (t)) % 8], s[(66 - (t)) % 8]); \
    } while (0)

static inline void start(word *state)
{
#pragma unroll
    for (int i = 0; i < STATE_WORDS; i++)
        state[i] = (word)INITIAL[i];
}

// Absorb one block; its words are used up as the schedule.
static inline void absorb(word *state, word *w)
{
    word s[8];
#pragma unroll
    for (int i = 0; i < 8; i++)
        s[i] = state[i];
#pragma unroll
    for (int t = 0; t < 64; t++) {
        if (t >= 16) {
            word near = w[(t + 1) % 16], far = w[(t + 14) % 16];
            w[t % 16] += (ROR(near, 7) ^ ROR(near, 18) ^ (near >> 3)) + w[(t + 9) % 16]
                + (ROR(far, 17) ^ ROR(far, 19) ^ (far >> 10));
        }
        ROUND(t, w[t % 16] + (word)K[t]);
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static inline void absorb_padding_of_node(word *state)
{
    word s[8];
#pragma unroll
    for (int i = 0; i < 8; i++)
        s[i] = state[i];
#pragma unroll
    for (int t = 0; t < 64; t++)
        ROUND(t, (word)K_PADDING[t]);
#pragma unroll
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

// 64 bytes, two digests: the words in block[0..15] to the digest in block[0..7].
static inline void hash_node(word *block)
{
    word state[STATE_WORDS];
    start(state);
    absorb(state, block);
    absorb_padding_of_node(state);
#pragma unroll
    for (int i = 0; i < STATE_WORDS; i++)
        block[i] = state[i];
}

static inline ulong blocks_of(ulong bytes)
{
    return (bytes + 8) / BLOCK + 1;
}

// What the last block has besides the message and the first byte of the padding: the message's length in bits.
static inline void close(word *block, word last, word high, word low)
{
    block[14] |= last & high;
    block[15] |= last & low;
}

#include "batch.cl"
