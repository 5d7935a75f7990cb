// Messages side by side: word i of LANES messages is one vector, lane j being message j's.
//
// Defined by the host: LANES (1, 2, 4, 8 or 16), ZERO_COPY (1 where buffers may be the caller's own host arrays). Defined
// by the hash's file before this one: BASE (the hash's word as a scalar type) and SIGNED (its signed counterpart).

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#if LANES == 1
typedef BASE word;
typedef SIGNED sword;
#define as_word(x) ((word)(x))
#else
typedef JOIN(BASE, LANES) word;
typedef JOIN(SIGNED, LANES) sword;
#define as_word(x) JOIN(as_, JOIN(BASE, LANES))(x)
#endif

#define BASE_BYTES ((ulong)sizeof(BASE))

#if ZERO_COPY
// The caller's arrays start wherever they start, so nothing may be taken to be aligned.
typedef struct __attribute__((packed)) { word value; } loose_word;
typedef struct __attribute__((packed)) { BASE value; } loose_base;

static inline word load_row(global const uchar *at) { return ((global const loose_word *)at)->value; }
static inline void store_row(global uchar *at, word row) { ((global loose_word *)at)->value = row; }
static inline BASE load_base(global const uchar *data, ulong at) { return ((global const loose_base *)(data + at))->value; }
static inline void store_base(global uchar *at, BASE value) { ((global loose_base *)at)->value = value; }
#else
// The host keeps rows aligned in its own allocations; what lies anywhere in a message is put together from two aligned
// words. The second of them may lie past the data: allocations are longer than what is in them. A row, a vector of words,
// is as aligned as a word only: a level of a tree may begin at any multiple of 32 bytes.
typedef struct __attribute__((packed, aligned(sizeof(BASE)))) { word value; } row_of_words;

static inline word load_row(global const uchar *at) { return ((global const row_of_words *)at)->value; }
static inline void store_row(global uchar *at, word row) { ((global row_of_words *)at)->value = row; }
static inline void store_base(global uchar *at, BASE value) { *(global BASE *)at = value; }
static inline BASE load_base(global const uchar *data, ulong at)
{
    global const BASE *words = (global const BASE *)data + at / BASE_BYTES;
    uint shift = 8 * (uint)(at % BASE_BYTES);
    BASE low = words[0];
    return shift ? (low >> shift) | (words[1] << (8 * BASE_BYTES - shift)) : low;
}
#endif

#if LANES > 1
// A number of rows of LANES words each, to as many rows in the other order: word r of message l, which is in lane l of row
// r, to place r of message l, the messages end to end. Each turn takes the even and then the odd words of neighbouring
// rows, which moves the lowest bit of a lane's number in front of the row's, and the row's lowest in front of the lane's.
// With LANES rows this is a transposition, and its own inverse.
#define INTERLEAVE(rows, count) do { \
        _Pragma("unroll") \
        for (int turn = 1; turn < LANES; turn *= 2) { \
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
