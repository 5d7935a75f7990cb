"""The wire and JSON forms of the chain's objects: RLP, transactions, headers, receipts, withdrawals, blocks."""
