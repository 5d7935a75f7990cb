"""Kernels alone: how long a backend takes for one unit of work, and whether what it returns is right."""

from chaindp.bench.runner import BenchPlan, BenchResult, run_bench

__all__ = ["BenchPlan", "BenchResult", "run_bench"]
