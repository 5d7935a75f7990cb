// Arithmetic modulo a 31-bit prime p, LANES elements side by side. Elements are canonical, below p, before and after each.
//
// Defined by the host: PRIME, INVERSE (1/p modulo 2^32), and what lanes.cl wants. A product is Montgomery's, divided by
// R = 2^32: of two numbers times R it is their product times R, of a number and another one times R it is plainly theirs.

#define BASE uint
#define SIGNED int
#include "lanes.cl"

#define P ((uint)PRIME)
#define P_INVERSE ((uint)INVERSE)

#if LANES == 1
#define LOG_LANES 0
#elif LANES == 4
#define LOG_LANES 2
typedef ulong2 wide;
#define as_wide(x) as_ulong2(x)
#elif LANES == 8
#define LOG_LANES 3
typedef ulong4 wide;
#define as_wide(x) as_ulong4(x)
#elif LANES == 16
#define LOG_LANES 4
typedef ulong8 wide;
#define as_wide(x) as_ulong8(x)
#endif

static inline word load(global const uint *at) { return load_row((global const uchar *)at); }
static inline void store(global uint *at, word row) { store_row((global uchar *)at, row); }

// Unsigned numbers below 2p: where one is below p, p less wraps to more than it is.
static inline word reduced(word x) { return min(x, x - (word)P); }

// Differences of numbers below p: where one is negative, and so has wrapped, p more is the lesser number.
static inline word canonical(word x) { return min(x, x + (word)P); }

static inline word add(word a, word b) { return reduced(a + b); }
static inline word sub(word a, word b) { return canonical(a - b); }

// An odd number and p, which is odd as well, are together twice what it is half of.
static inline word halved(word x) { return (x >> 1) + (((word)0 - (x & (word)1)) & (word)((P >> 1) + 1)); }

// x / 2^bits, up to the 2-adicity of p - 1: with p = c 2^bits + 1, x less (x mod 2^bits) p is a multiple of 2^bits.
static inline word shifted_down(word x, uint bits)
{
    return canonical((x >> bits) - (x & (word)((1u << bits) - 1)) * (word)(P >> bits));
}

// x y / R of one element each, where x y < p R. With m = x y / p modulo R, x y - m p has a lower half of zeros.
static inline uint product_of_one(uint x, uint y)
{
    uint t = mul_hi(x, y) - mul_hi(x * y * P_INVERSE, P);
    return min(t, t + P);
}

#if LANES == 1
static inline word product(word x, word y) { return product_of_one(x, y); }
#else
#define LOWER 0xffffffffUL

// The even and the odd lanes on their own, in lanes of 64 bits: what CPUs multiply in vectors, 32 bits by 32. The quotient
// is had from lanes of 32 bits and is that of -p, so that its multiples are added: compilers know 64-bit products of 32-bit
// numbers by their upper halves of zeros, and take a difference for a sum with a negative number, which has none.
static inline word product(word x, word y)
{
    wide a = as_wide(x), b = as_wide(y), quotient = as_wide(x * y * (word)(0 - P_INVERSE));
    wide even = (a & LOWER) * (b & LOWER) + (quotient & LOWER) * (ulong)P;
    wide odd = (a >> 32) * (b >> 32) + (quotient >> 32) * (ulong)P;
    return reduced(as_word(even >> 32 | odd));
}

// Rows of LANES words, `count` of them: the bits of a word's place, the row's number before the lane's, go round to the
// right, as many steps as there are turns. So LOG_LANES turns take word r of the item in lane l, at lane l of row r, to
// place r of item l, the items end to end; and as many turns as the bits of a row's number take it back.
#define TURN_ROUND(rows, count, turns) do { \
        _Pragma("unroll") \
        for (int turn = 0; turn < (turns); turn++) { \
            word mixed[count]; \
            _Pragma("unroll") \
            for (int i = 0; i < (count) / 2; i++) { \
                mixed[i] = (word)(rows[2 * i].even, rows[2 * i + 1].even); \
                mixed[i + (count) / 2] = (word)(rows[2 * i].odd, rows[2 * i + 1].odd); \
            } \
            _Pragma("unroll") \
            for (int i = 0; i < (count); i++) \
                rows[i] = mixed[i]; \
        } \
    } while (0)
#endif

// `count` items of 2^log_words words each, end to end from `from` on, to one item a lane: word r of each in rows[r]. Where
// fewer than LANES are left, the other lanes are of no matter.
#define GATHER(rows, log_words, from, count) do { \
        const uint words = 1u << (log_words); \
        if ((count) >= LANES) { \
            _Pragma("unroll") \
            for (uint i = 0; i < words; i++) \
                rows[i] = load((from) + LANES * i); \
        } else { \
            uint room[LANES << (log_words)]; \
            for (uint i = 0; i < words * LANES; i++) \
                room[i] = i < words * (uint)(count) ? (from)[i] : 0; \
            _Pragma("unroll") \
            for (uint i = 0; i < words; i++) \
                rows[i] = OF_ROOM(i, room); \
        } \
        TO_LANES(rows, log_words); \
    } while (0)

// The other way round.
#define SCATTER(rows, log_words, to, count) do { \
        const uint words = 1u << (log_words); \
        FROM_LANES(rows, log_words); \
        if ((count) >= LANES) { \
            _Pragma("unroll") \
            for (uint i = 0; i < words; i++) \
                store((to) + LANES * i, rows[i]); \
        } else { \
            uint room[LANES << (log_words)]; \
            _Pragma("unroll") \
            for (uint i = 0; i < words; i++) \
                TO_ROOM(rows[i], i, room); \
            for (uint i = 0; i < words * (uint)(count); i++) \
                (to)[i] = room[i]; \
        } \
    } while (0)

#if LANES == 1
#define OF_ROOM(i, room) room[i]
#define TO_ROOM(row, i, room) room[i] = row
#define TO_LANES(rows, log_words)
#define FROM_LANES(rows, log_words)
#else
#define OF_ROOM(i, room) JOIN(vload, LANES)(i, room)
#define TO_ROOM(row, i, room) JOIN(vstore, LANES)(row, i, room)
#define TO_LANES(rows, log_words) TURN_ROUND(rows, 1 << (log_words), log_words)
#define FROM_LANES(rows, log_words) TURN_ROUND(rows, 1 << (log_words), LOG_LANES)
#endif
