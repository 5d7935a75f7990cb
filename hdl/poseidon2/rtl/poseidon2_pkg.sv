// Poseidon2 of width 16 over BabyBear: the constants of Plonky3's default instance (p3-baby-bear
// 0.8.0, BABYBEAR_POSEIDON2_RC_16_*, drawn from the Grain LFSR), and arithmetic modulo p within a
// cycle.
package poseidon2_pkg;

  import babybear_pkg::*;

  localparam int unsigned Width          = 16;
  localparam int unsigned InternalRounds = 13;

  // Canonical; the core adds them in Montgomery form. Four external rounds, the internal ones, and
  // four external ones again.
  localparam logic [31:0] ExternalConstants [8][16] = '{
    '{
      32'h69cbb6af, 32'h46ad93f9, 32'h60a00f4e, 32'h6b1297cd,
      32'h23189afe, 32'h732e7bef, 32'h72c246de, 32'h2c941900,
      32'h0557eede, 32'h1580496f, 32'h3a3ea77b, 32'h54f3f271,
      32'h0f49b029, 32'h47872fe1, 32'h221e2e36, 32'h1ab7202e
    },
    '{
      32'h487779a6, 32'h3851c9d8, 32'h38dc17c0, 32'h209f8849,
      32'h268dcee8, 32'h350c48da, 32'h5b9ad32e, 32'h0523272b,
      32'h3f89055b, 32'h01e894b2, 32'h13ddedde, 32'h1b2ef334,
      32'h7507d8b4, 32'h6ceeb94e, 32'h52eb6ba2, 32'h50642905
    },
    '{
      32'h05453f3f, 32'h06349efc, 32'h6922787c, 32'h04bfff9c,
      32'h768c714a, 32'h3e9ff21a, 32'h15737c9c, 32'h2229c807,
      32'h0d47f88c, 32'h097e0ecc, 32'h27eadba0, 32'h2d7d29e4,
      32'h3502aaa0, 32'h0f475fd7, 32'h29fbda49, 32'h018afffd
    },
    '{
      32'h0315b618, 32'h6d4497d1, 32'h1b171d9e, 32'h52861abd,
      32'h2e5d0501, 32'h3ec8646c, 32'h6e5f250a, 32'h148ae8e6,
      32'h17f5fa4a, 32'h3e66d284, 32'h0051aa3b, 32'h483f7913,
      32'h2cfe5f15, 32'h023427ca, 32'h2cc78315, 32'h1e36ea47
    },
    '{
      32'h7290a80d, 32'h6f7e5329, 32'h598ec8a8, 32'h76a859a0,
      32'h6559e868, 32'h657b83af, 32'h13271d3f, 32'h1f876063,
      32'h0aeeae37, 32'h706e9ca6, 32'h46400cee, 32'h72a05c26,
      32'h2c589c9e, 32'h20bd37a7, 32'h6a2d3d10, 32'h20523767
    },
    '{
      32'h5b8fe9c4, 32'h2aa501d6, 32'h1e01ac3e, 32'h1448bc54,
      32'h5ce5ad1c, 32'h4918a14d, 32'h2c46a83f, 32'h4fcf6876,
      32'h61d8d5c8, 32'h6ddf4ff9, 32'h11fda4d3, 32'h02933a8f,
      32'h170eaf81, 32'h5a9c314f, 32'h49a12590, 32'h35ec52a1
    },
    '{
      32'h58eb1611, 32'h5e481e65, 32'h367125c9, 32'h0eba33ba,
      32'h1fc28ded, 32'h066399ad, 32'h0cbec0ea, 32'h75fd1af0,
      32'h50f5bf4e, 32'h643d5f41, 32'h6f4fe718, 32'h5b3cbbde,
      32'h1e3afb3e, 32'h296fb027, 32'h45e1547b, 32'h4a8db2ab
    },
    '{
      32'h59986d19, 32'h30bcdfa3, 32'h1db63932, 32'h1d7c2824,
      32'h53b33681, 32'h0673b747, 32'h038a98a3, 32'h2c5bce60,
      32'h351979cd, 32'h5008fb73, 32'h547bca78, 32'h711af481,
      32'h3f93bf64, 32'h644d987b, 32'h3c8bcd87, 32'h608758b8
    }
  };

  localparam logic [31:0] InternalConstants [13] = '{
    32'h5a8053c0, 32'h693be639, 32'h3858867d, 32'h19334f6b,
    32'h128f0fd8, 32'h4e2b1ccb, 32'h61210ce0, 32'h3c318939,
    32'h0b5b2f22, 32'h2edb11d5, 32'h213effdf, 32'h0cac4606,
    32'h241af16d
  };

  typedef elem_t [Width-1:0] state_t;

  // 2^32 x mod p, for constants only: it divides.
  function automatic elem_t to_montgomery(input logic [31:0] x);
    return 31'({x, 32'b0} % 64'(Prime));
  endfunction

  // 2^64 mod p: the Montgomery product with it is the Montgomery form.
  localparam elem_t MontSquare = to_montgomery(32'(MontOne));

  // Both results are computed side by side, each by one adder.
  function automatic elem_t add_mod(input elem_t a, input elem_t b);
    elem_t       sum;
    logic [31:0] less;
    sum  = a + b;
    less = {1'b0, a} + {1'b0, b} - {1'b0, Prime};
    return less[31] ? sum : less[30:0];
  endfunction

  function automatic elem_t sub_mod(input elem_t a, input elem_t b);
    logic [31:0] difference;
    elem_t       more;
    difference = {1'b0, a} - {1'b0, b};
    more       = a - b + Prime;
    return difference[31] ? more : difference[30:0];
  endfunction

endpackage
