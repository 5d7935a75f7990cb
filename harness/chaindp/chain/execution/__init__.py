"""Execution of transactions: the interface of an engine, and the engine that runs revm through ``pyrevm``.

Only light names are here; ``chaindp.chain.execution.revm`` imports the binding and is imported where it is used.
"""

from __future__ import annotations

from chaindp.chain.execution.executor import ExecutionResult, Executor, Load, UnsupportedError

__all__ = ["ExecutionResult", "Executor", "Load", "UnsupportedError"]
