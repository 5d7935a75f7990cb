"""The package of a backend: which files it has, and whether its names are still free."""

from __future__ import annotations

import importlib.metadata
import importlib.util

from chaindp import __version__
from chaindp.errors import UsageError
from chaindp.plugins import Registry
from chaindp.scaffold.names import PackageNames
from chaindp.scaffold.package import render

__all__ = ["FILES", "TEMPLATES", "backend_files", "check_free"]

TEMPLATES = "backend"
"""The folder of templates that belongs to this kind of package."""

FILES = {
    "pyproject.toml": "pyproject.toml.tmpl",
    "README.md": "readme.md.tmpl",
    ".gitignore": "gitignore.tmpl",
    "{{module}}/__init__.py": "plugin.py.tmpl",
    "{{module}}/backend.py": "backend.py.tmpl",
    "{{module}}/keccak.py": "keccak.py.tmpl",
    "{{module}}/py.typed": "py.typed.tmpl",
    "tests/test_conformance.py": "test_conformance.py.tmpl",
}
"""A file of the package to its template; paths are templates themselves."""


def check_free(names: PackageNames, registry: Registry) -> None:
    """UsageError where an installed backend, distribution or package has one of the names already."""
    if names.name in registry.backends:
        provider = registry.providers["backend", names.name]
        raise UsageError(f"backend {names.name!r} is there already, from plugin {provider}; choose another name")
    if importlib.util.find_spec(names.module) is not None:
        raise UsageError(f"Python package {names.module} is there already; choose another name, or uninstall it")
    try:
        version = importlib.metadata.version(names.distribution)
    except importlib.metadata.PackageNotFoundError:
        return
    raise UsageError(f"{names.distribution} {version} is installed already; choose another name, or uninstall it")


def backend_files(names: PackageNames) -> dict[str, str]:
    """The files of a backend package: path inside of it to text."""
    values = {
        "name": names.name,
        "distribution": names.distribution,
        "module": names.module,
        "title": names.title,
        "chaindp_version": __version__,
    }
    return render(TEMPLATES, FILES, values)
