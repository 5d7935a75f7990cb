"""The prover of STARKs: ``prover`` has the protocol, step by step; what it is made of stands beside it."""
