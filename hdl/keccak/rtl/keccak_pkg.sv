// Keccak-f[1600] and the sizes of Keccak-256 (FIPS 202, sections 3 and 5; a capacity of 512 bits).
package keccak_pkg;

  parameter int unsigned NumRounds   = 24;
  parameter int unsigned NumLanes    = 25;
  parameter int unsigned RateLanes   = 17;
  parameter int unsigned DigestLanes = 4;

  // Lane x + 5 * y of the state is element x + 5 * y. An array of lanes rather than one vector of
  // 1600 bits: simulators work on it lane by lane.
  typedef logic [63:0] lane_t;
  typedef lane_t state_t [NumLanes];
  typedef lane_t column_t [5];
  typedef lane_t block_t [RateLanes];

  // The domain byte of Keccak-256 as Ethereum uses it. SHA3-256 has 8'h06: its two domain bits and
  // the first padding bit (FIPS 202, section 6.1 and table 6).
  parameter logic [7:0] DomainKeccak = 8'h01;

  // Iota: one constant a round, from the LFSR of algorithm 5.
  parameter lane_t RoundConstants[NumRounds] = '{
    64'h0000_0000_0000_0001, 64'h0000_0000_0000_8082, 64'h8000_0000_0000_808A,
    64'h8000_0000_8000_8000, 64'h0000_0000_0000_808B, 64'h0000_0000_8000_0001,
    64'h8000_0000_8000_8081, 64'h8000_0000_0000_8009, 64'h0000_0000_0000_008A,
    64'h0000_0000_0000_0088, 64'h0000_0000_8000_8009, 64'h0000_0000_8000_000A,
    64'h0000_0000_8000_808B, 64'h8000_0000_0000_008B, 64'h8000_0000_0000_8089,
    64'h8000_0000_0000_8003, 64'h8000_0000_0000_8002, 64'h8000_0000_0000_0080,
    64'h0000_0000_0000_800A, 64'h8000_0000_8000_000A, 64'h8000_0000_8000_8081,
    64'h8000_0000_0000_8080, 64'h0000_0000_8000_0001, 64'h8000_0000_8000_8008
  };

  // Rho: how far lane x + 5 * y turns left (algorithm 2).
  parameter int unsigned Rotations[NumLanes] = '{
     0,  1, 62, 28, 27,
    36, 44,  6, 55, 20,
     3, 10, 43, 25, 39,
    41, 45, 15, 21,  8,
    18,  2, 61, 56, 14
  };

  function automatic lane_t rotate_left(lane_t lane, int unsigned by);
    return (lane << by) | (lane >> ((64 - by) % 64));
  endfunction

  // Theta (section 3.2.1): what is added to all five lanes of a column x, for each x.
  function automatic column_t keccak_theta(state_t state);
    column_t parity;
    column_t theta;
    for (int unsigned x = 0; x < 5; x++) begin
      parity[x] = state[x] ^ state[x+5] ^ state[x+10] ^ state[x+15] ^ state[x+20];
    end
    for (int unsigned x = 0; x < 5; x++) begin
      theta[x] = parity[(x+4)%5] ^ rotate_left(parity[(x+1)%5], 1);
    end
    return theta;
  endfunction

  // Rho and pi of the state with theta added.
  function automatic state_t keccak_move(state_t state, column_t theta);
    state_t moved;
    for (int unsigned y = 0; y < 5; y++) begin
      for (int unsigned x = 0; x < 5; x++) begin
        moved[y+5*((2*x+3*y)%5)] = rotate_left(state[x+5*y] ^ theta[x], Rotations[x+5*y]);
      end
    end
    return moved;
  endfunction

  // Chi, of one lane and the two behind it in its row.
  function automatic lane_t keccak_chi(lane_t lane, lane_t next, lane_t after_next);
    return lane ^ (~next & after_next);
  endfunction

endpackage
