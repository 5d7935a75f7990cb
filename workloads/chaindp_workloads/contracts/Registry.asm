; The registry of the credentials workload: which nullifiers were used in which application.
;
;   function claim(uint256 application, uint256 nullifier) external;
;   event Claimed(uint256 application, uint256 nullifier);
;
; Storage: the slot keccak256(application, nullifier), two words, is 1 once that nullifier was used there. A second claim
; reverts, and so does whatever is no claim.

0x44 CALLDATASIZE LT :fail JUMPI            ; shorter than a selector and two words
0x00 CALLDATALOAD 0xe0 SHR                  ; the selector
0xc3490263 EQ :claim JUMPI                  ; claim(uint256,uint256)

fail:
0x00 DUP1 REVERT

claim:
0x40 0x04 0x00 CALLDATACOPY                 ; application and nullifier to memory 0
0x40 0x00 KECCAK256                         ; the slot
DUP1 SLOAD :fail JUMPI                      ; used before
0x01 SWAP1 SSTORE
0xc83b5086ce94ec8d5a88a9f5fea4b18a522bb238ed0d2d8abd959549a80c16b8   ; Claimed(uint256,uint256)
0x40 0x00 LOG1
STOP
