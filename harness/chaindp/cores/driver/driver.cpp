// Drives a Verilated model as a stream core: packets in, packets out, every cycle watched.
//
// A cycle is: inputs change and the clock falls, the model settles, both handshakes are sampled, the clock rises. So
// ready and valid may depend on this cycle's inputs, and two evaluations a cycle are enough.
//
// "ports.h" is generated: the model's class, and functions that give access to its ports by what they are for.

#include "job.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "ports.h"

#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ports are filled byte by byte, the lowest first");

namespace {

constexpr size_t kMaxPrinted = 4096;

// Between these is how long a run goes on after the last packet, where it is not told.
constexpr int64_t kLeastDrain = 32, kMostDrain = 10'000;

// What the RTL prints, and where it finds the files that it reads: of the thread that is simulating.
thread_local std::string* printed = nullptr;
thread_local const std::vector<std::string>* places = nullptr;

struct Stopped {
  std::string why;
};

uint64_t next_random(uint64_t& state) {
  // SplitMix64 (Steele, Lea, Flood 2014): any seed is a good one.
  uint64_t z = (state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// Whether a side may act, cycle by cycle.
class Pauses {
 public:
  void start(const Gate& gate) {
    gate_ = gate;
    state_ = gate.seed;
    left_ = 0;
  }

  bool open(int64_t cycle) {
    switch (gate_.pattern) {
      case kRandom: {
        if (left_ > 0) {
          --left_;
          return false;
        }
        const uint64_t draw = next_random(state_);
        if (int64_t(draw & 255) >= gate_.probability) return true;
        left_ = int64_t((draw >> 8) % uint64_t(gate_.burst));
        return false;
      }
      case kOneIn:
        return cycle % gate_.period == 0;
      default:
        return true;
    }
  }

 private:
  Gate gate_{};
  uint64_t state_ = 0;
  int64_t left_ = 0;
};

template <size_t N, bool BIG>
void copy_lanes(void* to, const void* from) {
  if constexpr (!BIG) {
    std::memcpy(to, from, N);
  } else {
    for (size_t i = 0; i < N; ++i) static_cast<uint8_t*>(to)[i] = static_cast<const uint8_t*>(from)[N - 1 - i];
  }
}

constexpr int64_t kIn = ports::kInBytes, kOut = ports::kOutBytes;
constexpr size_t kInKeepBytes = (kIn + 7) / 8, kOutKeepBytes = (kOut + 7) / 8;

// The tkeep of a beat with `count` bytes: bit i is of lane i, and the first byte is in lane 0 or in the highest one.
template <int64_t N, bool BIG, size_t BYTES>
void keep_of(int64_t count, uint8_t (&mask)[BYTES]) {
  std::memset(mask, 0, BYTES);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t lane = BIG ? N - 1 - i : i;
    mask[lane / 8] |= uint8_t(1u << (lane % 8));
  }
}

class Driver {
 public:
  // `folders`: where the RTL finds the files that it reads, separated by newlines.
  Driver(uint64_t seed, bool random, const char* folders) : noise_(seed ^ 0x5bd1e995) {
    std::istringstream listed(folders);
    for (std::string folder; std::getline(listed, folder);) folders_.push_back(folder);
    context_.randReset(random ? 2 : 0);
    context_.randSeed(int(seed % 0x7fffffff) + 1);
    context_.fatalOnError(true);
    // What registers begin with is no state of the core: assertions hold from the reset on.
    context_.assertOn(false);
#if VM_TRACE
    context_.traceEverOn(true);
#endif
    model_ = std::make_unique<Model>(&context_, "TOP");
    const Printing here(this);
    try {
      ports::reset(*model_) = ports::kResetLow;
      scramble();
      ports::in_valid(*model_) = 0;
      ports::out_ready(*model_) = 0;
      // The reset begins with an edge: before it, the model has been evaluated without one.
      fall();
      reset(ports::kResetCycles);
      context_.assertOn(true);
    } catch (const Stopped& stopped) {
      dead_ = stopped.why;
    }
  }

  ~Driver() {
    const Printing here(this);
    try {
      close_trace();
      model_->final();
    } catch (const Stopped&) {
    }
  }

  // Returns 0 when the run has ended, 1 when it is to be called again.
  int64_t run(Job& job) {
    const Printing here(this);
    try {
      if (!dead_.empty()) throw Stopped{dead_};
      const bool stalls = job.in_gate.pattern != kAlways || job.out_gate.pattern != kAlways;
      const int64_t more = stalls ? loop<true>(job) : loop<false>(job);
      if (!more) close_trace();
      return more;
    } catch (const Stopped& stopped) {
      dead_ = stopped.why;
      fault(job, kStopped, 0, 0);
      leave(job);
      close_trace();
      return 0;
    }
  }

  void begin(Job& job) {
    cycle_ = 0;
    simulated_ = 0;
    in_packet_ = in_beat_ = begun_ = 0;
    out_packet_ = out_beat_ = out_position_ = out_start_ = user_position_ = 0;
    in_beats_ = out_beats_ = in_stalls_ = out_stalls_ = 0;
    first_in_ = first_out_ = -1;
    idle_ = 0;
    drained_ = slowest_ = 0;
    last_ = first_offered_ = -1;
    reset_index_ = 0;
    reset_since_ = -1;
    user_start_ = 0;
    offering_ = held_ = quiet_ = valid_seen_ = false;
    trace_first_ = job.trace_first;
    trace_last_ = job.trace_last;
    fatal_ = false;
    wide_keep_ = false;
    in_pauses_.start(job.in_gate);
    out_pauses_.start(job.out_gate);
    job.fault_count = 0;
    job.out_offsets[0] = 0;
    if (valid_in_reset_) {
      fault(job, kValidInReset, 0, 0);
      valid_in_reset_ = false;
    }
#if VM_TRACE
    if (job.trace_path) {
      const Printing here(this);
      try {
        trace_ = std::make_unique<VerilatedVcdC>();
        model_->trace(trace_.get(), 99);
        trace_->open(job.trace_path);
      } catch (const Stopped& stopped) {
        dead_ = stopped.why;
      }
    }
#endif
  }

  void reset_now() {
    const Printing here(this);
    try {
      if (dead_.empty()) reset(ports::kResetCycles);
    } catch (const Stopped& stopped) {
      dead_ = stopped.why;
    }
  }

  const std::string& dead() const { return dead_; }
  const std::string& log() const { return log_; }

 private:
  // While it lives, what is printed and read is this simulation's.
  struct Printing {
    explicit Printing(Driver* driver) : before(printed), places_before(places) {
      printed = &driver->log_;
      places = &driver->folders_;
    }
    ~Printing() {
      printed = before;
      places = places_before;
    }
    std::string* before;
    const std::vector<std::string>* places_before;
  };

  // The clock falls and all inputs take effect: the model shows this cycle's outputs.
  void fall() {
    ports::clock(*model_) = 0;
    model_->eval();
    dump(0);
  }

  void rise() {
    ports::clock(*model_) = 1;
    model_->eval();
    dump(1);
    ++simulated_;
    if (VL_UNLIKELY(context_.gotFinish())) throw Stopped{"$finish"};
  }

  void dump([[maybe_unused]] int half) {
#if CHAINDP_TIME
    context_.timeInc(5);
#endif
#if VM_TRACE
    // Ten units a cycle.
    if (trace_ && cycle_ >= trace_first_ && cycle_ <= trace_last_) {
      trace_->dump(uint64_t(10 * cycle_ + 5 * half));
    }
#endif
  }

  void close_trace() {
#if VM_TRACE
    if (trace_) {
      trace_->close();
      trace_.reset();
    }
#endif
  }

  void reset(int64_t cycles) {
    offering_ = held_ = valid_seen_ = false;
    ports::in_valid(*model_) = 0;
    scramble();
    ports::reset(*model_) = !ports::kResetLow;
    for (int64_t i = 0; i < cycles; ++i) {
      ports::out_ready(*model_) = next_random(noise_) & 1;
      fall();
      rise();
      ++cycle_;
    }
    // A reset may be synchronous, or take cycles to arrive where the core synchronizes it: after the last of its edges
    // it has arrived.
    if (ports::out_valid(*model_) & 1) valid_in_reset_ = true;
    ports::reset(*model_) = ports::kResetLow;
  }

  // Random bits on the input while nothing is offered: whoever looks at them without valid shows it.
  void scramble() {
    uint8_t noise[kIn];
    for (int64_t i = 0; i < kIn; i += 8) {
      const uint64_t draw = next_random(noise_);
      std::memcpy(noise + i, &draw, size_t(kIn - i < 8 ? kIn - i : 8));
    }
    std::memcpy(ports::in_data(*model_), noise, kIn);
    const uint64_t draw = next_random(noise_);
    ports::in_last(*model_) = draw & 1;
    if constexpr (ports::kInKeep) {
      uint8_t mask[kInKeepBytes];
      keep_of<kIn, ports::kInBig>(int64_t((draw >> 8) % uint64_t(kIn + 1)), mask);
      std::memcpy(ports::in_keep(*model_), mask, kInKeepBytes);
      wide_keep_ = false;
    }
    set_user(uint32_t(draw >> 32) & ports::kInUserMask);
    user_set_ = false;
  }

  void set_user([[maybe_unused]] uint32_t value) {
    if constexpr (ports::kInUserBits > 0) std::memcpy(ports::in_user(*model_), &value, ports::kInUserBytes);
  }

  // Put the next beat of the current packet on the input.
  void offer(const Job& job) {
    const int64_t at = job.in_offsets[in_packet_] + in_beat_ * kIn;
    const int64_t left = job.in_offsets[in_packet_ + 1] - at;
    uint8_t* const to = static_cast<uint8_t*>(ports::in_data(*model_));
    if (VL_LIKELY(left >= kIn)) {
      copy_lanes<kIn, ports::kInBig>(to, job.in_data + at);
      if constexpr (ports::kInKeep) {
        if (!wide_keep_) {
          uint8_t mask[kInKeepBytes];
          keep_of<kIn, ports::kInBig>(kIn, mask);
          std::memcpy(ports::in_keep(*model_), mask, kInKeepBytes);
          wide_keep_ = true;
        }
      }
    } else {
      uint8_t lanes[kIn];
      for (int64_t i = 0; i < kIn; ++i) lanes[i] = i < left ? job.in_data[at + i] : uint8_t(next_random(noise_));
      copy_lanes<kIn, ports::kInBig>(to, lanes);
      if constexpr (ports::kInKeep) {
        uint8_t mask[kInKeepBytes];
        keep_of<kIn, ports::kInBig>(left, mask);
        std::memcpy(ports::in_keep(*model_), mask, kInKeepBytes);
        wide_keep_ = false;
      }
    }
    if (in_beat_ == 0 || !user_set_) set_user(job.in_user ? job.in_user[in_packet_] : 0);
    user_set_ = true;
    if (first_offered_ < 0) first_offered_ = cycle_;
    last_beat_ = left <= kIn;
    ports::in_last(*model_) = last_beat_;
    ports::in_valid(*model_) = 1;
    offering_ = true;
  }

  void withhold() {
    ports::in_valid(*model_) = 0;
    scramble();
  }

  // A fault that lets the run go on, until there are too many of them.
  void fault(Job& job, int64_t kind, int64_t expected, int64_t got) {
    if (job.fault_count < kMaxFaults)
      job.faults[job.fault_count++] = {kind, cycle_, out_packet_, out_beat_, expected, got};
    if (job.fault_count == kMaxFaults) fatal_ = true;
  }

  // A fault after which nothing that follows means anything.
  void fatal(Job& job, int64_t kind, int64_t expected, int64_t got) {
    fault(job, kind, expected, got);
    fatal_ = true;
  }

  // The output beat, as it is on the ports.
  struct Beat {
    uint8_t data[kOut];
    uint8_t keep[kOutKeepBytes];
    uint32_t user;
    uint8_t last;
  };

  void sample(Beat& beat) {
    std::memcpy(beat.data, ports::out_data(*model_), kOut);
    if constexpr (ports::kOutKeep) std::memcpy(beat.keep, ports::out_keep(*model_), kOutKeepBytes);
    beat.user = 0;
    if constexpr (ports::kOutUserBits > 0) std::memcpy(&beat.user, ports::out_user(*model_), ports::kOutUserBytes);
    beat.last = ports::out_last(*model_) & 1;
  }

  static bool same(const Beat& a, const Beat& b) {
    if (std::memcmp(a.data, b.data, kOut) != 0 || a.last != b.last || a.user != b.user) return false;
    return !ports::kOutKeep || std::memcmp(a.keep, b.keep, kOutKeepBytes) == 0;
  }

  // How many bytes of the output beat count; -1 where tkeep has no form that the contract has.
  int64_t kept(bool last) {
    if constexpr (!ports::kOutKeep) return kOut;
    uint8_t keep[kOutKeepBytes];
    std::memcpy(keep, ports::out_keep(*model_), kOutKeepBytes);
    int64_t count = 0;
    for (size_t i = 0; i < kOutKeepBytes; ++i) count += __builtin_popcount(keep[i]);
    uint8_t mask[kOutKeepBytes];
    keep_of<kOut, ports::kOutBig>(count, mask);
    if (std::memcmp(keep, mask, kOutKeepBytes) != 0 || (!last && count != kOut)) return -1;
    return count;
  }

  // An output beat moves.
  void take(Job& job) {
    const bool last = ports::out_last(*model_) & 1;
    int64_t count = kept(last);
    if (VL_UNLIKELY(count < 0)) {
      fault(job, kKeep, 0, 0);
      count = kOut;
    }
    const int64_t wanted = job.out_bytes ? job.out_bytes[out_packet_] : -1;
    const int64_t so_far = out_position_ - out_start_;
    if (wanted >= 0) {
      // Without a tkeep the last beat is as wide as all others, and what is past the end counts for nothing.
      const int64_t whole = ports::kOutKeep ? so_far + count : (so_far + count < wanted ? so_far + count : wanted);
      if (VL_UNLIKELY(whole > wanted || (!last && so_far + count >= wanted))) {
        fatal(job, kLong, wanted, so_far + count);
        return;
      }
      if (VL_UNLIKELY(last && whole < wanted)) fault(job, kShort, wanted, whole);
      if (count > whole - so_far) count = whole - so_far;
    }
    if (VL_UNLIKELY(out_position_ + count > job.out_capacity ||
                    (job.out_user && user_position_ >= job.out_user_capacity))) {
      fatal(job, kTooLarge, job.out_capacity, out_position_ + count);
      return;
    }
    uint8_t* const to = job.out_data + out_position_;
    if (VL_LIKELY(count == kOut)) {
      copy_lanes<kOut, ports::kOutBig>(to, ports::out_data(*model_));
    } else {
      uint8_t lanes[kOut];
      copy_lanes<kOut, ports::kOutBig>(lanes, ports::out_data(*model_));
      std::memcpy(to, lanes, size_t(count));
    }
    if constexpr (ports::kOutUserBits > 0) {
      if (job.out_user) {
        uint32_t user = 0;
        std::memcpy(&user, ports::out_user(*model_), ports::kOutUserBytes);
        job.out_user[user_position_] = user;
      }
    }
    ++user_position_;
    out_position_ += count;
    ++out_beats_;
    ++out_beat_;
    if (first_out_ < 0) first_out_ = cycle_;
    last_ = cycle_;
    if (last) {
      if (VL_UNLIKELY(out_packet_ >= in_packet_)) fault(job, kEarly, 0, 0);
      job.finished[out_packet_] = cycle_;
      if (job.accepted[out_packet_] >= 0) slowest_ = std::max(slowest_, cycle_ - job.accepted[out_packet_]);
      close_packet(job);
    }
  }

  void close_packet(Job& job) {
    job.out_offsets[++out_packet_] = out_position_;
    out_start_ = out_position_;
    out_beat_ = 0;
    user_start_ = user_position_;
  }

  // Reset in the middle: what is in the core is lost, the packet that was coming in included; the next one follows. A
  // beat that was offered and not taken is offered again if it is the first of its packet.
  void reset_between(Job& job, const ResetAt& at) {
    reset(at.cycles);
    const int64_t next = in_beat_ ? in_packet_ + 1 : in_packet_;
    if (valid_in_reset_) {
      fault(job, kValidInReset, 0, 0);
      valid_in_reset_ = false;
    }
    out_position_ = out_start_;
    user_position_ = user_start_;
    while (out_packet_ < next) {
      job.lost[out_packet_] = 1;
      close_packet(job);
    }
    out_beat_ = 0;
    in_packet_ = begun_ = next;
    in_beat_ = 0;
    idle_ = 0;
  }

  void leave(Job& job) const {
    job.cycles = last_ < 0 ? 0 : last_ + 1 - first_offered_;
    job.in_stalls = in_stalls_;
    job.out_stalls = out_stalls_;
    job.first_in = first_in_;
    job.first_out = first_out_;
    job.in_beats = in_beats_;
    job.out_beats = out_beats_;
    job.user_beats = user_position_;
    job.in_packet = in_packet_;
    job.in_beat = in_beat_;
    job.out_packet = out_packet_;
    job.out_beat = out_beat_;
    job.in_valid = offering_;
    job.in_ready = in_ready_;
    job.out_valid = out_valid_;
    job.out_ready = out_ready_;
    job.simulated = simulated_;
    for (int64_t packet = out_packet_; packet < job.packets; ++packet) job.out_offsets[packet + 1] = out_position_;
  }

  bool reset_due(const Job& job) {
    if (VL_LIKELY(reset_index_ >= job.reset_count)) return false;
    const ResetAt& at = job.resets[reset_index_];
    if (reset_since_ < 0) {
      if (in_packet_ < at.packet || (in_packet_ == at.packet && in_beat_ < at.beat)) return false;
      reset_since_ = cycle_;
    }
    return cycle_ - reset_since_ >= at.after;
  }

  // How long nothing more may come out: what the core has twice, or late, comes about as late as the rest did.
  int64_t drain_cycles(const Job& job) const {
    return job.drain_cycles >= 0 ? job.drain_cycles : std::clamp(2 * slowest_, kLeastDrain, kMostDrain);
  }

  template <bool STALLS>
  int64_t loop(Job& job) {
    for (int64_t n = 0; n < job.chunk_cycles; ++n) {
      if (VL_UNLIKELY(reset_due(job))) {
        reset_between(job, job.resets[reset_index_++]);
        reset_since_ = -1;
        continue;
      }
      const bool all_in = in_packet_ == job.packets;
      const bool draining = all_in && out_packet_ == job.packets;
      if (VL_UNLIKELY(draining) && drained_++ >= drain_cycles(job)) break_ = true;
      if (VL_UNLIKELY(break_ || fatal_)) {
        break_ = false;
        leave(job);
        return 0;
      }

      if (!offering_) {
        if (!all_in && (!STALLS || in_pauses_.open(cycle_))) {
          offer(job);
          quiet_ = false;
        } else if (STALLS || !quiet_) {
          withhold();
          quiet_ = true;
        }
      }
      bool ready = true;
      if constexpr (STALLS) {
        if (!draining) ready = job.out_gate.pattern == kAfterValid ? valid_seen_ : out_pauses_.open(cycle_);
      }
      ports::out_ready(*model_) = ready;
      out_ready_ = ready;

      fall();

      in_ready_ = ports::in_ready(*model_) & 1;
      out_valid_ = ports::out_valid(*model_) & 1;
      bool moved = false;
      if (offering_) {
        if (in_ready_) {
          moved = true;
          offering_ = false;
          ++in_beats_;
          if (first_in_ < 0) first_in_ = cycle_;
          if (in_beat_++ == 0) ++begun_;
          if (last_beat_) {
            job.accepted[in_packet_++] = cycle_;
            in_beat_ = 0;
          }
        } else {
          ++in_stalls_;
        }
      }
      if (out_valid_) {
        // A core that is but wires shows a beat while it is offered, and lets it through only where it takes it.
        const int64_t shown = begun_ + (!ready && offering_ && in_beat_ == 0);
        if (VL_UNLIKELY(out_packet_ >= shown)) {
          fatal(job, out_packet_ >= job.packets ? kExtra : kSpurious, 0, 0);
        } else {
          if (VL_UNLIKELY(held_)) {
            Beat now;
            sample(now);
            if (!same(now, held_beat_)) {
              fault(job, kChanged, 0, 0);
              held_beat_ = now;
            }
          }
          if (ready) {
            take(job);
            moved = true;
            held_ = false;
          } else {
            if (!held_) sample(held_beat_);
            held_ = true;
            ++out_stalls_;
          }
        }
      } else if (VL_UNLIKELY(held_)) {
        fault(job, kWithdrawn, 0, 0);
        held_ = false;
      }
      valid_seen_ = out_valid_ && !ready;

      // A cycle in which the host holds the core up is not one in which the core does nothing.
      const bool cores_turn = (offering_ || all_in) && (ready || !out_valid_);
      if (moved) {
        idle_ = 0;
      } else if (VL_UNLIKELY(cores_turn && ++idle_ >= job.idle_cycles) && !draining) {
        fatal(job, kHang, 0, 0);
      }
      if (VL_UNLIKELY(job.max_cycles && cycle_ + 1 >= job.max_cycles) && !draining) fatal(job, kTooLong, 0, 0);

      rise();
      ++cycle_;
    }
    leave(job);
    return 1;
  }

  VerilatedContext context_;
  std::unique_ptr<Model> model_;
#if VM_TRACE
  std::unique_ptr<VerilatedVcdC> trace_;
#endif
  std::string dead_;  // why the simulation cannot go on; empty while it can
  std::string log_;
  std::vector<std::string> folders_;
  uint64_t noise_;
  Pauses in_pauses_, out_pauses_;

  int64_t cycle_ = 0, simulated_ = 0, idle_ = 0, drained_ = 0;
  int64_t last_ = -1, first_offered_ = -1, first_in_ = -1, first_out_ = -1;
  int64_t in_packet_ = 0, in_beat_ = 0, begun_ = 0;  // begun_: packets whose first beat is in
  int64_t out_packet_ = 0, out_beat_ = 0;
  int64_t out_position_ = 0, out_start_ = 0;    // bytes; out_start_: where the packet that is coming out begins
  int64_t user_position_ = 0, user_start_ = 0;  // beats, likewise
  int64_t in_beats_ = 0, out_beats_ = 0, in_stalls_ = 0, out_stalls_ = 0;
  int64_t reset_index_ = 0, reset_since_ = -1;  // since when the next reset's point is reached, -1: not yet
  int64_t slowest_ = 0;                        // cycles that a packet took from its last beat in to its last one out
  int64_t trace_first_ = 0, trace_last_ = -1;
  bool offering_ = false, last_beat_ = false, user_set_ = false, wide_keep_ = false, quiet_ = false;
  bool in_ready_ = false, out_valid_ = false, out_ready_ = false, valid_seen_ = false;
  bool held_ = false, fatal_ = false, break_ = false, valid_in_reset_ = false;
  Beat held_beat_{};
};

void print_from(const char* format, std::va_list args) {
  if (!printed || printed->size() >= kMaxPrinted) return;
  char line[1024];
  const int size = std::vsnprintf(line, sizeof line, format, args);
  if (size > 0) printed->append(line, std::min(size_t(size), sizeof line - 1));
}

[[noreturn]] void stop(const char* what, const char* file, int line, const char* detail) {
  throw Stopped{std::string(file && *file ? file : "?") + ":" + std::to_string(line) + ": " + what +
                (detail && *detail ? std::string(": ") + detail : std::string())};
}

}  // namespace

extern "C" int chaindp_print(const char* format, ...) {
  std::va_list args;
  va_start(args, format);
  print_from(format, args);
  va_end(args);
  return 0;
}

// What `fopen` is linked as: the files that RTL reads ($readmemh) are named from the folders of the core, and not from
// where the process happens to be.
extern "C" FILE* __real_fopen(const char* name, const char* mode);

extern "C" FILE* __wrap_fopen(const char* name, const char* mode) {
  if (places && name[0] != '/' && mode[0] == 'r') {
    for (const std::string& folder : *places) {
      if (FILE* const file = __real_fopen((folder + "/" + name).c_str(), mode)) return file;
    }
    return nullptr;
  }
  return __real_fopen(name, mode);
}

// Verilator's library calls these. Its own end the process.

void vl_finish(const char* file, int line, const char*) VL_MT_UNSAFE { stop("$finish", file, line, ""); }

void vl_stop(const char* file, int line, const char*) VL_MT_UNSAFE { stop("$stop or a failed assertion", file, line, ""); }

void vl_fatal(const char* file, int line, const char*, const char* message) VL_MT_UNSAFE {
  stop("cannot go on", file, line, message);
}

void vl_warn(const char* file, int line, const char*, const char* message) VL_MT_UNSAFE {
  chaindp_print("%s:%d: warning: %s\n", file && *file ? file : "?", line, message);
}

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int64_t chaindp_job_bytes() { return sizeof(Job); }

// A simulation, in reset for as long as the core asks and out of it again. `random`: the values before that are.
EXPORTED void* chaindp_create(uint64_t seed, int64_t random, const char* folders) {
  return new Driver(seed, random != 0, folders);
}

EXPORTED void chaindp_reset(void* driver) { static_cast<Driver*>(driver)->reset_now(); }

EXPORTED void chaindp_begin(void* driver, Job* job) { static_cast<Driver*>(driver)->begin(*job); }

// 1: call it again; 0: the run has ended.
EXPORTED int64_t chaindp_run(void* driver, Job* job) { return static_cast<Driver*>(driver)->run(*job); }

// Why the simulation cannot go on; empty while it can.
EXPORTED const char* chaindp_dead(void* driver) { return static_cast<Driver*>(driver)->dead().c_str(); }

// The beginning of what the RTL has displayed.
EXPORTED const char* chaindp_log(void* driver) { return static_cast<Driver*>(driver)->log().c_str(); }

EXPORTED void chaindp_close(void* driver) { delete static_cast<Driver*>(driver); }
