// Functions and constants of SHA-256 (FIPS 180-4, sections 4.1.2, 4.2.2 and 5.3.3).
package sha256_pkg;

  parameter int unsigned NumRounds = 64;

  typedef logic [31:0] word_t;

  // H(0), a to h: the first 32 bits of the fractional parts of the square roots of the first 8
  // primes.
  parameter word_t InitialHash [8] = '{
    32'h6A09E667, 32'hBB67AE85, 32'h3C6EF372, 32'hA54FF53A,
    32'h510E527F, 32'h9B05688C, 32'h1F83D9AB, 32'h5BE0CD19
  };

  // The same of the cube roots of the first 64 primes.
  parameter word_t RoundConstants [NumRounds] = '{
    32'h428A2F98, 32'h71374491, 32'hB5C0FBCF, 32'hE9B5DBA5,
    32'h3956C25B, 32'h59F111F1, 32'h923F82A4, 32'hAB1C5ED5,
    32'hD807AA98, 32'h12835B01, 32'h243185BE, 32'h550C7DC3,
    32'h72BE5D74, 32'h80DEB1FE, 32'h9BDC06A7, 32'hC19BF174,
    32'hE49B69C1, 32'hEFBE4786, 32'h0FC19DC6, 32'h240CA1CC,
    32'h2DE92C6F, 32'h4A7484AA, 32'h5CB0A9DC, 32'h76F988DA,
    32'h983E5152, 32'hA831C66D, 32'hB00327C8, 32'hBF597FC7,
    32'hC6E00BF3, 32'hD5A79147, 32'h06CA6351, 32'h14292967,
    32'h27B70A85, 32'h2E1B2138, 32'h4D2C6DFC, 32'h53380D13,
    32'h650A7354, 32'h766A0ABB, 32'h81C2C92E, 32'h92722C85,
    32'hA2BFE8A1, 32'hA81A664B, 32'hC24B8B70, 32'hC76C51A3,
    32'hD192E819, 32'hD6990624, 32'hF40E3585, 32'h106AA070,
    32'h19A4C116, 32'h1E376C08, 32'h2748774C, 32'h34B0BCB5,
    32'h391C0CB3, 32'h4ED8AA4A, 32'h5B9CCA4F, 32'h682E6FF3,
    32'h748F82EE, 32'h78A5636F, 32'h84C87814, 32'h8CC70208,
    32'h90BEFFFA, 32'hA4506CEB, 32'hBEF9A3F7, 32'hC67178F2
  };

  function automatic word_t rotate_right(word_t word, int unsigned by);
    return (word >> by) | (word << (32 - by));
  endfunction

  function automatic word_t choose(word_t x, word_t y, word_t z);
    return (x & y) ^ (~x & z);
  endfunction

  function automatic word_t majority(word_t x, word_t y, word_t z);
    return (x & y) ^ (x & z) ^ (y & z);
  endfunction

  // The upper-case sigmas, of the rounds.
  function automatic word_t sum0(word_t word);
    return rotate_right(word, 2) ^ rotate_right(word, 13) ^ rotate_right(word, 22);
  endfunction

  function automatic word_t sum1(word_t word);
    return rotate_right(word, 6) ^ rotate_right(word, 11) ^ rotate_right(word, 25);
  endfunction

  // The lower-case sigmas, of the message schedule.
  function automatic word_t sigma0(word_t word);
    return rotate_right(word, 7) ^ rotate_right(word, 18) ^ (word >> 3);
  endfunction

  function automatic word_t sigma1(word_t word);
    return rotate_right(word, 17) ^ rotate_right(word, 19) ^ (word >> 10);
  endfunction

endpackage
