// BabyBear, the prime field of p = 2^31 - 2^27 + 1: constants, and arithmetic for elaboration time.
package babybear_pkg;

  localparam int unsigned TwoAdicity = 27;

  typedef logic [30:0] elem_t;

  localparam elem_t Prime = 31'h7800_0001;

  // Generates the subgroup of order 2^27: 31^15, as in Plonky3's p3-baby-bear.
  localparam elem_t TwoAdicRoot = 31'h1a42_7a41;

  // One in Montgomery form: 2^32 mod p.
  localparam elem_t MontOne = 31'h0fff_fffe;

  // a * b mod p, for constants only: it divides.
  function automatic elem_t mul_mod(input elem_t a, input elem_t b);
    return 31'((64'(a) * 64'(b)) % 64'(Prime));
  endfunction

  // The generator of the subgroup of order 2^log2_order.
  function automatic elem_t root_of_unity(input int unsigned log2_order);
    elem_t root;
    root = TwoAdicRoot;
    for (int unsigned i = log2_order; i < TwoAdicity; i++) root = mul_mod(root, root);
    return root;
  endfunction

endpackage
