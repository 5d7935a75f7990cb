"""The plugin manager: finds plugins by their entry points, checks what they yield, and opens backends by name.

A plugin is either whole or left out: one whose import fails, whose hook raises or whose hook yields something that
breaks the contract costs one warning line and a row, and provides nothing. Two plugins that claim one name stop the
command, because any way of choosing between them would depend on the order of installation.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from chaindp import hookspecs
from chaindp.backend import (
    NAME_PATTERN,
    Backend,
    BackendOptions,
    BackendSpec,
    Capability,
    Device,
    Platform,
    TimeDomain,
    Tuning,
)
from chaindp.errors import ChaindpError, PluginError, UsageError
from chaindp.kernels import KernelSpec
from chaindp.workload import WorkloadSpec

if TYPE_CHECKING:
    from chaindp.kernels.kernelset import KernelSet

__all__ = ["GROUP", "PluginRow", "Registry", "describe_error", "load_plugins", "select"]

GROUP = "chaindp"
"""The entry point group that plugins register in."""

T = TypeVar("T")

MESSAGE_LENGTH = 300

KINDS = ("cpu", "gpu", "fpga", "other")

# SystemExit too: a plugin that leaves at import must not take the command along.
PLUGIN_FAULTS = (Exception, SystemExit)


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One entry point of the group: where it comes from, whether it works, and what it provides.

    status: ``ok`` or ``failed``; ``reason`` says why it failed, in one line
    """

    name: str
    distribution: str
    version: str
    status: str = "ok"
    reason: str = ""
    backends: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The plugin with its distribution and version, as messages name it."""
        return f"{self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Registry:
    """Everything that the installed plugins provide, by name; selection is by name, never by hook order.

    providers: ``(what, name)`` to the label of the plugin that provides it; what is ``backend``, ``kernel`` or
               ``workload``
    """

    backends: Mapping[str, BackendSpec]
    kernels: Mapping[str, KernelSpec]
    workloads: Mapping[str, WorkloadSpec]
    plugins: tuple[PluginRow, ...]
    providers: Mapping[tuple[str, str], str]
    manager: pluggy.PluginManager = field(repr=False, compare=False)

    @property
    def broken(self) -> tuple[PluginRow, ...]:
        """The plugins that were left out. A run or a bench reports each as a failure row and exits 1."""
        return tuple(row for row in self.plugins if row.status != "ok")

    def backend_spec(self, selector: str) -> tuple[BackendSpec, str]:
        """The spec and the device that ``name`` or ``name:device`` selects; UsageError for an unknown name.

        Its capabilities are those of the device, where that has some of its own. A device that is not there leaves them
        as they are: what opens it says so.
        """
        spec, device = self._selected(selector)
        if not device:
            return spec, device
        try:
            found = self._find(spec, device)
        except PluginError:
            return spec, device
        if found is None or found[0].capabilities is None:
            return spec, device
        return replace(spec, capabilities=found[0].capabilities), device

    def _selected(self, selector: str) -> tuple[BackendSpec, str]:
        """The spec as its plugin yields it, and the name of the device."""
        name, colon, device = selector.partition(":")
        if colon and not device:
            raise UsageError(f"backend {selector!r} names no device after the colon")
        return select(self.backends, name, "backend", self.broken), device

    def devices(self, name: str) -> tuple[Device, ...]:
        """The devices of a backend that are there now, the default one first; PluginError where listing them fails."""
        spec, _ = self._selected(name)
        provider = self.providers["backend", spec.name]
        try:
            found = tuple(spec.devices())
        except PLUGIN_FAULTS as error:
            raise PluginError(
                f"plugin {provider}: backend {spec.name} cannot list its devices: {describe_error(error)}"
            ) from error
        for device in found:
            if not isinstance(device, Device):
                raise PluginError(f"plugin {provider}: backend {spec.name} lists {device!r}, which is not a Device")
        return found

    def find_device(self, selector: str) -> tuple[Device, str]:
        """The device that ``name`` or ``name:device`` selects, and the part after the colon as the backend spells it.

        Aliases are found in any case of letters. UsageError for an unknown name, PluginError where there is no device.
        """
        spec, name = self._selected(selector)
        devices = self.devices(spec.name)
        if not devices:
            raise PluginError(self.why_no_device(spec.name))
        if not name:
            return devices[0], ""
        known = self._find(spec, name, devices)
        if known is not None:
            return known
        shown = ", ".join(f"{spec.name}:{found.name}" if found.name else spec.name for found in devices)
        also = ", ".join(f"{spec.name}:{alias}" for found in devices for alias in found.aliases)
        raise UsageError(
            f"backend {spec.name} has no device {name!r}; there is: {shown}"
            + (f" (also by the names {also})" if also else "")
        )

    def _find(self, spec: BackendSpec, name: str, devices: Sequence[Device] | None = None) -> tuple[Device, str] | None:
        """A device by its name, by an alias in any case of letters, or as the backend resolves it; None: there is none.

        devices: those of the backend, where they have been listed already
        """
        listed = self.devices(spec.name) if devices is None else devices
        for device in listed:
            if name in (device.name, *device.aliases):
                return device, name
        for device in listed:
            for alias in device.aliases:
                if alias.casefold() == name.casefold():
                    return device, alias
        named = spec.resolve(name) if spec.resolve is not None else None
        return (named, named.name) if named is not None else None

    def why_no_device(self, name: str) -> str:
        """Why a backend that lists no device has none: what it says when it is opened all the same."""
        try:
            self.open_backend(name).close()
        except PLUGIN_FAULTS as error:
            return describe_error(error)
        return f"plugin {self.providers['backend', name]}: backend {name} opens, and lists no device"

    def open_backend(
        self,
        selector: str,
        *,
        threads: int = 1,
        profile: bool = False,
        tuning: Mapping[str, Tuning] | None = None,
        platform: Platform | None = None,
    ) -> Backend:
        """Open ``name`` or ``name:device``; what the other arguments are is in ``BackendOptions``.

        Raises UsageError for an unknown name or device, for threads below 1, for a profile that the backend cannot give
        or a platform around a device that is not simulated; PluginError where the factory fails, builds something else
        than was asked for, or lacks a method of a kernel that the spec declares supported.
        """
        if threads < 1:
            raise UsageError(f"threads is {threads}; it must be 1 or more")
        spec, device = self.backend_spec(selector)
        provider = self.providers["backend", spec.name]
        if profile and not spec.profiles:
            raise UsageError(f"backend {spec.name} has no clock of a device to measure with")
        if platform is not None and not spec.simulates:
            raise UsageError(f"backend {spec.name} simulates no device: a clock, instances or a link say nothing of it")
        if device:
            _, device = self.find_device(selector)
        try:
            options = BackendOptions(
                device=device,
                threads=threads,
                profile=profile,
                tuning=dict(tuning or {}),
                platform=platform or Platform(),
            )
            backend = spec.factory(options)
        except UsageError:
            raise
        except PLUGIN_FAULTS as error:
            raise PluginError(
                f"plugin {provider}: backend {selector} does not open: {describe_error(error)}"
            ) from error
        problem = _backend_problem(backend, spec, device)
        if problem:
            raise PluginError(f"plugin {provider}: backend {selector} {problem}")
        return backend

    def kernel_set(self, backend: Backend, *, keep: int = 0) -> KernelSet:
        """The kernels that ``backend`` declares, to call from host arrays; ``keep`` keeps what an audit compares."""
        from chaindp.kernels.kernelset import KernelSet

        spec, _ = self.backend_spec(backend.label)
        supported = frozenset(name for name in spec.capabilities if spec.supports(name))
        composable = {name: known for name, known in self.kernels.items() if known.compose is not None}
        return KernelSet(backend, supported, keep, composable=composable)

    def environment(self, warn: Callable[[str], None]) -> dict[str, object]:
        """Plugin name to what its ``chaindp_environment`` yields; one that fails is recorded as such and warned of."""
        collected: dict[str, object] = {}
        for row in self.plugins:
            if row.status != "ok" or not self.manager.has_plugin(_key(row)):
                continue
            try:
                yielded = _call_hook(self.manager, _key(row), "chaindp_environment")
                if yielded is None:
                    continue
                if not isinstance(yielded, Mapping):
                    raise PluginError(f"chaindp_environment yields {type(yielded).__name__}, not a mapping")
                collected[row.name] = dict(yielded)
            except PLUGIN_FAULTS as error:
                warn(f"plugin {row.label}: its provenance is missing: {describe_error(error)}")
                collected[row.name] = {"error": describe_error(error)}
        return collected


def select(items: Mapping[str, T], name: str, what: str, broken: Iterable[PluginRow] = ()) -> T:
    """``items[name]``.

    Raises UsageError that lists what there is and hints at a close match; PluginError where a plugin of ``broken`` has
    the name, because then the call is right and the plugin is at fault.
    """
    if name in items:
        return items[name]
    for row in broken:
        if name == row.name or name in re.split(r"[-_.]", row.distribution):
            raise PluginError(f"{what} {name!r} is not there: plugin {row.label} was left out: {row.reason}")
    close = difflib.get_close_matches(name, items, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise UsageError(f"unknown {what} {name!r}{hint} (there is: {', '.join(sorted(items)) or 'none'})")


def describe_error(error: BaseException) -> str:
    """An exception in one line: its type, unless it is one of chaindp's own, and the beginning of its message."""
    message = textwrap.shorten(str(error), MESSAGE_LENGTH, placeholder=" ...")
    if isinstance(error, ChaindpError) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def load_plugins(warn: Callable[[str], None] | None = None) -> Registry:
    """Load every entry point of the group, check what its hooks yield, and collect it by name.

    ``warn`` takes one line for each plugin that is left out; the default writes it to stderr.
    PluginError where two plugins provide the same name, naming both distributions.
    """
    warn = warn or _warn_on_stderr
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    collector = _Collector(manager)
    builtin = PluginRow("built-in", "chaindp", _own_version())
    collector.claim(builtin, {"kernel": _builtin_kernels()})
    found = importlib.metadata.entry_points(group=GROUP)
    # Sorted, so that messages and tables do not depend on the order of installation.
    for entry in sorted(found, key=lambda entry: (_distribution(entry), entry.name)):
        row = collector.load(entry)
        if row.status != "ok":
            warn(f"plugin {row.label} was left out: {row.reason}")
    return collector.registry()


class _Collector:
    """Gathers specs plugin by plugin; all that is needed while loading and not afterwards."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.manager = manager
        self.specs: dict[str, dict[str, Any]] = {"backend": {}, "kernel": {}, "workload": {}}
        self.providers: dict[tuple[str, str], str] = {}
        self.rows: list[PluginRow] = []

    def load(self, entry: importlib.metadata.EntryPoint) -> PluginRow:
        """Import one plugin, call its hooks, and add what they yield."""
        row = PluginRow(entry.name, _distribution(entry), _version(entry))
        try:
            # What a plugin prints while it loads must not end up in the JSON on stdout.
            with contextlib.redirect_stdout(sys.stderr):
                yielded = self._register(row, entry.load())
        except PLUGIN_FAULTS as error:
            if self.manager.has_plugin(_key(row)):
                self.manager.unregister(name=_key(row))
            row = PluginRow(row.name, row.distribution, row.version, "failed", describe_error(error))
        else:
            self.claim(row, yielded)
            names = {what: tuple(spec.name for spec in specs) for what, specs in yielded.items()}
            row = PluginRow(
                row.name, row.distribution, row.version, "ok", "", names["backend"], names["kernel"], names["workload"]
            )
        self.rows.append(row)
        return row

    def _register(self, row: PluginRow, plugin: object) -> dict[str, list[Any]]:
        self.manager.register(plugin, name=_key(row))
        callers = self.manager.get_hookcallers(plugin) or []
        if not callers:
            raise PluginError("implements no hook (mark its functions with @chaindp.hookimpl)")
        for caller in callers:
            if not caller.has_spec():
                raise PluginError(f"implements {caller.name}, which is not a hook of chaindp")
        return {
            "backend": _checked(self.manager, row, "chaindp_backends", BackendSpec, _check_backend_spec),
            "kernel": _checked(self.manager, row, "chaindp_kernels", KernelSpec, _check_kernel_spec),
            "workload": _checked(self.manager, row, "chaindp_workloads", WorkloadSpec, _check_workload_spec),
        }

    def claim(self, row: PluginRow, yielded: Mapping[str, Iterable[Any]]) -> None:
        """Add specs under their names; PluginError where a name is taken."""
        for what, specs in yielded.items():
            for spec in specs:
                taken = self.providers.get((what, spec.name))
                if taken is not None:
                    raise PluginError(
                        f"{what} {spec.name!r} is provided by both {taken} and {row.label}; uninstall one of the two"
                    )
                self.providers[what, spec.name] = row.label
                self.specs[what][spec.name] = spec

    def registry(self) -> Registry:
        """What was gathered, read-only."""
        return Registry(
            backends=MappingProxyType(dict(sorted(self.specs["backend"].items()))),
            kernels=MappingProxyType(dict(self.specs["kernel"])),
            workloads=MappingProxyType(dict(sorted(self.specs["workload"].items()))),
            plugins=tuple(self.rows),
            providers=MappingProxyType(self.providers),
            manager=self.manager,
        )


def _checked(
    manager: pluggy.PluginManager, row: PluginRow, hook: str, kind: type, check: Callable[[Any], None]
) -> list[Any]:
    """What one plugin's hook yields, every item checked."""
    yielded = _call_hook(manager, _key(row), hook)
    if yielded is None:
        return []
    if isinstance(yielded, str | bytes | Mapping) or not isinstance(yielded, Iterable):
        raise PluginError(f"{hook} yields {type(yielded).__name__}, not a sequence of {kind.__name__}")
    specs = list(yielded)
    for spec in specs:
        if not isinstance(spec, kind):
            raise PluginError(f"{hook} yields {type(spec).__name__} in its sequence, not {kind.__name__}")
        if not isinstance(spec.name, str) or not NAME_PATTERN.fullmatch(spec.name):  # type: ignore[attr-defined]
            raise PluginError(f"{hook} yields a bad name, {spec.name!r}: not lowercase letters, digits, '-' and '_'")  # type: ignore[attr-defined]
        check(spec)
    return specs


def _call_hook(manager: pluggy.PluginManager, key: str, hook: str) -> Any:
    """Call one hook of one plugin only, so that what goes wrong has a name; None where it is not implemented."""
    others = [plugin for name, plugin in manager.list_name_plugin() if name != key and plugin is not None]
    results = manager.subset_hook_caller(hook, remove_plugins=others)()
    return results[0] if results else None


def _check_backend_spec(spec: BackendSpec) -> None:
    if spec.kind not in KINDS:
        raise PluginError(f"backend {spec.name} is of kind {spec.kind!r}, not one of {', '.join(KINDS)}")
    if not callable(spec.factory) or not callable(spec.devices):
        raise PluginError(f"backend {spec.name} has a factory or devices that cannot be called")
    for kernel, capability in spec.capabilities.items():
        if not isinstance(kernel, str) or not isinstance(capability, Capability):
            raise PluginError(f"backend {spec.name} states {capability!r} for {kernel!r}, which is not a Capability")


def _check_kernel_spec(spec: KernelSpec) -> None:
    for part in ("generate", "golden", "units"):
        if not callable(getattr(spec, part)):
            raise PluginError(f"kernel {spec.name} has a {part} that cannot be called")
    if not isinstance(spec.unit, str) or not spec.unit:
        raise PluginError(f"kernel {spec.name} has no unit of work")
    if any(not isinstance(size, int) or size < 1 for size in spec.sizes):
        raise PluginError(f"kernel {spec.name} has sizes that are not positive integers")


def _check_workload_spec(spec: WorkloadSpec) -> None:
    if not callable(spec.factory):
        raise PluginError(f"workload {spec.name} has a factory that cannot be called")


def _backend_problem(backend: object, spec: BackendSpec, device: str) -> str:
    """What is wrong with an instance that a factory built; empty where nothing is."""
    if not isinstance(backend, Backend):
        return f"is a {type(backend).__name__}, not a chaindp.backend.Backend"
    if backend.name != spec.name or (device and backend.device != device):
        return f"opened as {backend.label}, which is not what was asked for"
    if spec.simulates != (backend.time_domain is TimeDomain.MODELLED):
        simulates = "simulates its device" if spec.simulates else "simulates no device"
        return f"{simulates} by its spec, and is timed in {backend.time_domain}"
    lacking = [name for name in spec.capabilities if spec.supports(name) and not callable(getattr(backend, name, None))]
    if lacking:
        return f"claims a kernel that it lacks: {', '.join(sorted(lacking))}"
    return ""


def _builtin_kernels() -> Iterable[KernelSpec]:
    from chaindp.chain.proof.kernel import STARK_PROVE
    from chaindp.kernels import BUILTIN

    return (*BUILTIN, STARK_PROVE)


def _key(row: PluginRow) -> str:
    """A name that is unique in pluggy's manager even where two distributions use one entry point name."""
    return f"{row.distribution}:{row.name}"


def _distribution(entry: importlib.metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"


def _version(entry: importlib.metadata.EntryPoint) -> str:
    return entry.dist.version if entry.dist is not None else "unknown"


def _own_version() -> str:
    from chaindp import __version__

    return __version__


def _warn_on_stderr(line: str) -> None:
    print(f"chaindp: warning: {line}", file=sys.stderr)
