"""Kernels: the operations that a backend can take over, with their contracts."""

from chaindp.kernels.spec import Args, KernelSpec, Vector

__all__ = ["Args", "KernelSpec", "Vector"]
