"""From the one name that an author gives to all the names that a package needs."""

from __future__ import annotations

from dataclasses import dataclass

from chaindp.backend import NAME_PATTERN
from chaindp.errors import UsageError

__all__ = ["LONGEST", "PackageNames", "package_names"]

LONGEST = 32
"""Characters of a name at most: the lines of code that hold it stay within 120 columns."""


@dataclass(frozen=True, slots=True)
class PackageNames:
    """The names of a plugin package.

    name:          what ``--backend`` takes: ``my-gpu``
    distribution:  what pip installs, and the folder: ``chaindp-my-gpu``
    module:        what Python imports: ``chaindp_my_gpu``
    title:         how its classes begin: ``MyGpu``
    """

    name: str
    distribution: str
    module: str
    title: str


def package_names(name: str) -> PackageNames:
    """All names of the package for ``name``; UsageError where it is not one that a backend and a package can have."""
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a name for a backend: it begins with a lowercase letter and goes on with lowercase "
            "letters, digits, '-' and '_'"
        )
    if name[-1] in "-_":
        raise UsageError(
            f"{name!r} is not a name for a package: it ends with {name[-1]!r}; end it with a letter or digit"
        )
    if len(name) > LONGEST:
        raise UsageError(f"{name!r} has {len(name)} characters; a name has {LONGEST} at most")
    underscored = name.replace("-", "_")
    title = "".join(part.capitalize() for part in underscored.split("_"))
    return PackageNames(name, f"chaindp-{name}", f"chaindp_{underscored}", title)
