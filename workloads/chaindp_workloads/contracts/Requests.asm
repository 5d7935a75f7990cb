; The market of the proofs workload: requests to prove a batch of Poseidon2 permutations, as logs. It keeps nothing.
;
;   function request(uint256 permutations, uint256 seed) external;
;   event Requested(uint256 permutations, uint256 seed);

0x44 CALLDATASIZE LT :fail JUMPI            ; shorter than a selector and two words
0x00 CALLDATALOAD 0xe0 SHR                  ; the selector
0x8bc802fb EQ :request JUMPI                ; request(uint256,uint256)

fail:
0x00 DUP1 REVERT

request:
0x40 0x04 0x00 CALLDATACOPY                 ; both words to memory 0
0x9ec9ce5ff75494568f5457206e6c8722a30bf368d8b48bec513db56be9e0bf6d   ; Requested(uint256,uint256)
0x40 0x00 LOG1
STOP
