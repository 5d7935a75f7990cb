"""What ``chaindp new`` makes: plugin packages to start from, rendered from the templates beside this file."""

from __future__ import annotations

from chaindp.scaffold.backend import backend_files, check_free
from chaindp.scaffold.names import PackageNames, package_names
from chaindp.scaffold.package import write_package

__all__ = ["PackageNames", "backend_files", "check_free", "package_names", "write_package"]
