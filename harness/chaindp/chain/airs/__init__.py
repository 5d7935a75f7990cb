"""What can be proven: algebraic intermediate representations, and tables that satisfy them."""

from __future__ import annotations

from chaindp.chain.airs.air import Air, Constraints, Element, Rows

__all__ = ["Air", "Constraints", "Element", "Rows"]
