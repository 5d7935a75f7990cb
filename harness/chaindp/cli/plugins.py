"""``chaindp plugins``: what is installed, from where, whether it works, and what it provides."""

from __future__ import annotations

import json
from typing import Any

import click

from chaindp.backend import BackendSpec, Device, Support
from chaindp.cli import output
from chaindp.errors import PluginError
from chaindp.plugins import Registry, load_plugins


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def plugins(as_json: bool) -> int:
    """List plugins, the backends with their devices, the kernels that each backend has, and the workloads.

    A plugin that does not work has a row that says why; the command still exits 0.
    """
    registry = load_plugins(output.warn)
    document = describe(registry)
    if as_json:
        output.emit(document)
    else:
        _print(document)
    return 0


def describe(registry: Registry) -> dict[str, Any]:
    """The JSON document: plugins[], backends[] with the devices[] of each, kernels[], workloads[]."""
    return {
        "plugins": [
            {
                "name": row.name,
                "distribution": row.distribution,
                "version": row.version,
                "status": row.status,
                "reason": row.reason,
                "backends": list(row.backends),
                "kernels": list(row.kernels),
                "workloads": list(row.workloads),
            }
            for row in registry.plugins
        ],
        "backends": [_backend(registry, name) for name in registry.backends],
        "kernels": [
            {
                "name": spec.name,
                "summary": spec.summary,
                "unit": spec.unit,
                "sizes": list(spec.sizes),
                "composed_of": sorted(spec.composed_of),
                "plugin": registry.providers["kernel", spec.name],
                "backends": {
                    name: backend.capability(spec.name).support.value for name, backend in registry.backends.items()
                },
            }
            for spec in registry.kernels.values()
        ],
        "workloads": [
            {
                "name": spec.name,
                "summary": spec.summary,
                "not_executed": spec.not_executed,
                "plugin": registry.providers["workload", spec.name],
            }
            for spec in registry.workloads.values()
        ],
    }


def _backend(registry: Registry, name: str) -> dict[str, Any]:
    spec = registry.backends[name]
    devices: list[dict[str, object]] = []
    reason = ""
    try:
        devices = [_device(spec, device) for device in registry.devices(name)]
        # No fault, and no warning: a machine without the device.
        reason = "" if devices else registry.why_no_device(name)
    except PluginError as error:
        reason = str(error)
        output.warn(reason)
    return {
        "name": name,
        "kind": spec.kind,
        "summary": spec.summary,
        "plugin": registry.providers["backend", name],
        "devices": devices,
        "devices_error": reason,
        "kernels": {
            kernel: {"support": capability.support.value, "reason": capability.reason}
            for kernel, capability in ((kernel, spec.capability(kernel)) for kernel in _kernel_names(registry, name))
        },
    }


def _device(spec: BackendSpec, device: Device) -> dict[str, object]:
    try:
        details = json.loads(json.dumps(dict(device.details)))
    except (TypeError, ValueError) as error:
        raise PluginError(f"backend {spec.name}: the details of a device are not JSON values: {error}") from error
    return {
        "name": device.name,
        # A backend for GPUs may have a CPU among its devices; one that says so in its details is believed.
        "kind": str(details.get("kind", spec.kind)),
        "aliases": list(device.aliases),
        "summary": device.summary,
        "details": details,
    }


def _kernel_names(registry: Registry, backend: str) -> list[str]:
    """The registered kernels, then those that only the backend speaks of."""
    extra = [name for name in registry.backends[backend].capabilities if name not in registry.kernels]
    return [*registry.kernels, *sorted(extra)]


def _print(document: dict[str, Any]) -> None:
    output.table(
        "Plugins",
        ("plugin", "distribution", "version", "status", "reason"),
        [[row[key] for key in ("name", "distribution", "version", "status", "reason")] for row in document["plugins"]],
    )
    output.table(
        "Backends",
        ("backend", "kind", "devices", "summary"),
        [[row["name"], row["kind"], _devices(row), row["summary"]] for row in document["backends"]],
    )
    for row in document["backends"]:
        if row["devices_error"]:
            click.echo(f"no device of {row['name']} is listed: {row['devices_error']}")
    output.table(
        "Devices",
        ("device", "kind", "also", "summary"),
        [
            [
                _selector(row, device["name"]),
                device["kind"],
                ", ".join(_selector(row, name) for name in device["aliases"]),
                device["summary"],
            ]
            for row in document["backends"]
            for device in row["devices"]
        ],
    )
    backends = [row["name"] for row in document["backends"]]
    output.table(
        "Kernels",
        ("kernel", "unit", *backends),
        [
            [row["name"], row["unit"], *(_support(document, row, name) for name in backends)]
            for row in document["kernels"]
        ],
    )
    output.table(
        "Workloads",
        ("workload", "summary", "not executed because"),
        [[row["name"], row["summary"], row["not_executed"]] for row in document["workloads"]],
    )


def _support(document: dict[str, Any], kernel: dict[str, Any], backend: str) -> str:
    """What a backend says of a kernel, or that it has all that the kernel is composed of."""
    said = kernel["backends"][backend]
    parts = [row["backends"][backend] for row in document["kernels"] if row["name"] in kernel["composed_of"]]
    composed = len(parts) == len(kernel["composed_of"]) > 0 and set(parts) == {Support.SUPPORTED.value}
    return "composed" if composed and said == Support.NOT_IMPLEMENTED.value else str(said)


def _devices(row: dict[str, Any]) -> str:
    return ", ".join(_selector(row, device["name"]) for device in row["devices"]) or "none"


def _selector(row: dict[str, Any], device: str) -> str:
    return f"{row['name']}:{device}" if device else str(row["name"])
