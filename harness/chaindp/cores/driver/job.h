// What one run is asked to do, and what it found: the C ABI between the driver and chaindp.cores.simulation.
//
// Every member takes eight bytes, so that both sides agree on the layout without thinking about padding.
// chaindp_job_bytes() tells the Python side whether they still do.
#pragma once

#include <cstdint>

// When a side may move a beat.
enum Pattern : int64_t {
  kAlways = 0,      // in every cycle
  kRandom = 1,      // pauses of random length at random times
  kOneIn = 2,       // in one cycle of every `period`
  kAfterValid = 3,  // ready only in the cycle after valid was seen (output side only)
};

// What a core did wrong. The numbers are those of chaindp.cores.simulation.Kind.
enum FaultKind : int64_t {
  kHang = 1,           // no beat moved for idle_cycles in which one could have
  kWithdrawn = 2,      // valid went away before the beat had moved
  kChanged = 3,        // the beat changed while it was stalled
  kSpurious = 4,       // an output before any beat of its packet came in
  kExtra = 5,          // an output after the last packet
  kEarly = 6,          // an output packet that ends before its input packet does
  kShort = 7,          // tlast before the packet is complete
  kLong = 8,           // no tlast where the packet is complete
  kKeep = 9,           // tkeep of another form than the contract has
  kValidInReset = 10,  // valid at the end of a reset
  kTooLarge = 11,      // more output than there is room for
  kStopped = 12,       // the RTL ended the simulation: $finish, $stop, $fatal, a failed assertion, no convergence
  kTooLong = 13,       // max_cycles have passed
};

struct Fault {
  int64_t kind;
  int64_t cycle;
  int64_t packet;
  int64_t beat;
  int64_t expected;
  int64_t got;
};

struct Gate {
  int64_t pattern;
  int64_t probability;  // of 256, that a pause begins
  int64_t burst;        // the longest pause, in cycles
  int64_t period;
  uint64_t seed;
};

// Assert the reset `after` cycles after `beat` beats of `packet` are in, for `cycles` cycles.
struct ResetAt {
  int64_t packet;
  int64_t beat;
  int64_t after;
  int64_t cycles;
};

constexpr int64_t kMaxFaults = 16;

struct Job {
  // in
  const uint8_t* in_data;
  const int64_t* in_offsets;  // packets + 1
  int64_t packets;
  const uint32_t* in_user;    // one a packet, or null
  const int64_t* out_bytes;   // one a packet, or null: then a packet is as long as its tlast says
  Gate in_gate;
  Gate out_gate;
  const ResetAt* resets;
  int64_t reset_count;
  int64_t idle_cycles;
  int64_t drain_cycles;       // after the last packet; -1: by how long the packets took
  int64_t max_cycles;         // 0: no limit
  int64_t chunk_cycles;       // a call returns after so many, so that the caller may be interrupted
  const char* trace_path;     // null: no trace
  int64_t trace_first;
  int64_t trace_last;
  // out
  uint8_t* out_data;
  int64_t out_capacity;       // bytes
  int64_t* out_offsets;       // packets + 1
  uint32_t* out_user;         // one a beat, or null
  int64_t out_user_capacity;  // beats
  int64_t* accepted;          // cycle of the last input beat, -1: it never came in
  int64_t* finished;          // cycle of the last output beat, -1: it never came out
  uint8_t* lost;              // 1 a packet that was in the core, in part at least, at a reset
  int64_t cycles;             // from the first beat offered to the last one taken
  int64_t in_stalls;
  int64_t out_stalls;
  int64_t first_in;           // cycles of the first beat in either direction, -1: none
  int64_t first_out;
  int64_t in_beats;
  int64_t out_beats;
  int64_t user_beats;         // values in out_user: beats of packets that a reset took back are not among them
  int64_t in_packet;          // where both sides stand
  int64_t in_beat;
  int64_t out_packet;
  int64_t out_beat;
  int64_t in_valid;           // the handshake in the last cycle
  int64_t in_ready;
  int64_t out_valid;
  int64_t out_ready;
  int64_t simulated;          // cycles in all, resets and the drain included
  int64_t fault_count;
  Fault faults[kMaxFaults];
};
