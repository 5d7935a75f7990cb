"""Which part may import which: the layering that CONTRIBUTING.md states, read off the import statements themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import REPOSITORY

PACKAGES = {
    "chaindp": REPOSITORY / "harness" / "chaindp",
    "chaindp_cpu": REPOSITORY / "backends" / "chaindp_cpu",
    "chaindp_opencl": REPOSITORY / "backends" / "chaindp_opencl",
    "chaindp_fpga": REPOSITORY / "backends" / "chaindp_fpga",
    "chaindp_workloads": REPOSITORY / "workloads" / "chaindp_workloads",
}


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module that an import statement anywhere in ``tree`` names, as dotted names.

    ``from a import b`` yields ``a.b`` too, because b may be a module: a rule about it is then a rule about either.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{package}: a relative import hides where it goes"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))


def modules() -> Iterator[tuple[str, Path]]:
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            yield ".".join(part for part in parts if part != "__init__"), path


IMPORTS = {name: set(imports(ast.parse(path.read_text()), name)) for name, path in modules()}


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def broken(importers: tuple[str, ...], *forbidden: str) -> list[str]:
    """The imports, as ``importer imports module``, from ``importers`` into ``forbidden``."""
    return [
        f"{name} imports {found}"
        for name, names in IMPORTS.items()
        if within(name, *importers)
        for found in sorted(names)
        if within(found, *forbidden)
    ]


def names_of(module: str) -> set[str]:
    """What ``from module import`` may name."""
    folder = PACKAGES["chaindp"].joinpath(*module.split(".")[1:])
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"{module} has no __all__")


def test_the_walk_sees_every_form_of_import() -> None:
    code = "import a.b\ndef f():\n    from c import d\nif x:\n    importlib.import_module('e.f')"
    assert set(imports(ast.parse(code), "")) == {"a.b", "c", "c.d", "e.f"}
    assert "chaindp.chain.types" in IMPORTS["chaindp.chain.admission"]
    assert {"chaindp_cpu.backend", "chaindp_workloads.erc20", "chaindp.cli.run"} <= set(IMPORTS)


@pytest.mark.parametrize(
    ("package", "open_to_it"),
    [
        ("chaindp_cpu", ("chaindp.backend",)),
        ("chaindp_opencl", ("chaindp.backend",)),
        ("chaindp_fpga", ("chaindp.backend", "chaindp.cores")),
        ("chaindp_workloads", ("chaindp.backend", "chaindp.workload")),
    ],
)
def test_plugins_import_what_a_third_party_may(package: str, open_to_it: tuple[str, ...]) -> None:
    allowed = (*open_to_it, "chaindp.kernels", "chaindp.errors", package)
    exact = {"chaindp", *(f"chaindp.{name}" for name in names_of("chaindp"))}
    wrong = [
        f"{name} imports {found}"
        for name, names in IMPORTS.items()
        if within(name, package)
        for found in sorted(names)
        if within(found, *PACKAGES) and not within(found, *allowed) and found not in exact
    ]
    assert wrong == []


UPPER = tuple(
    f"chaindp.{name}"
    for name in (
        "plugins",
        "pipeline",
        "bench",
        "measure",
        "results",
        "report",
        "testing",
        "scaffold",
        "workbench",
        "cli",
    )
)
PLUGINS = tuple(package for package in PACKAGES if package != "chaindp")

ABOVE = ("chaindp.report", "chaindp.testing", "chaindp.scaffold", "chaindp.workbench", "chaindp.cli")


@pytest.mark.parametrize(
    ("importer", "forbidden"),
    [
        (
            "chaindp.chain",
            (*UPPER, "chaindp.cores", "chaindp.workload", "chaindp.hookspecs", *PLUGINS),
        ),
        (
            "chaindp.kernels",
            (*UPPER, "chaindp.cores", "chaindp.chain", "chaindp.workload", *PLUGINS),
        ),
        ("chaindp.cores", (*UPPER, "chaindp.chain", "chaindp.workload", *PLUGINS)),
        ("chaindp.platforms", ("chaindp.cores", "chaindp.chain", "chaindp.workload", *UPPER, *PLUGINS)),
        ("chaindp.results", ("chaindp.cores", "chaindp.pipeline", "chaindp.bench", *ABOVE)),
        ("chaindp.measure", ("chaindp.cores", "chaindp.pipeline", "chaindp.bench", *ABOVE)),
        ("chaindp.bench", ("chaindp.cores", "chaindp.pipeline", "chaindp.chain", *ABOVE)),
        ("chaindp.testing", ("chaindp.pipeline", "chaindp.bench", "chaindp.chain", "chaindp.results", *ABOVE)),
        ("chaindp.scaffold", ("chaindp.pipeline", "chaindp.bench", "chaindp.chain", "chaindp.measure", *ABOVE)),
        (
            "chaindp.report",
            (
                "chaindp.cores",
                "chaindp.bench",
                "chaindp.testing",
                "chaindp.scaffold",
                "chaindp.workbench",
                "chaindp.cli",
            ),
        ),
        ("chaindp.workbench", ("chaindp.bench", "chaindp.scaffold", "chaindp.cli", *PLUGINS)),
        ("chaindp.pipeline", ("chaindp.cores", "chaindp.bench", *PLUGINS, *ABOVE)),
        ("chaindp.backend", ("chaindp.chain", "chaindp.cores", *UPPER)),
        ("chaindp.workload", UPPER),
        ("chaindp.errors", tuple(PACKAGES)),
    ],
)
def test_dependencies_point_one_way(importer: str, forbidden: tuple[str, ...]) -> None:
    assert any(within(name, importer) for name in IMPORTS)
    assert broken((importer,), *(package for package in forbidden if package != importer)) == []


def test_only_the_command_line_imports_the_command_line() -> None:
    wrong = [
        name
        for name, names in IMPORTS.items()
        if not within(name, "chaindp.cli", "chaindp.__main__") and any(within(found, "chaindp.cli") for found in names)
    ]
    assert wrong == []


def test_no_product_code_imports_what_only_checks_it() -> None:
    peers = ("Crypto", "trie", "rlp", "galois", "eth_hash", "ethereum", "playwright")
    assert broken(tuple(PACKAGES), *peers) == []


def test_only_the_conformance_suite_imports_what_runs_it() -> None:
    wrong = [
        found for found in broken(tuple(PACKAGES), "hypothesis", "pytest", "_pytest") if "chaindp.testing" not in found
    ]
    assert wrong == []


def test_the_harness_names_no_backend() -> None:
    """Backends come through entry points, in-tree ones too."""
    assert broken(("chaindp",), *PLUGINS) == []
