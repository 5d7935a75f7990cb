"""The C++ that gives the driver a core's ports by what they are for: the one part of the driver that is generated."""

from __future__ import annotations

from collections.abc import Mapping

from chaindp.cores.description import Core, Stream
from chaindp.cores.verilator import Port

__all__ = ["ports_header"]


def ports_header(core: Core, ports: Mapping[str, Port]) -> str:
    """``ports.h`` for a core whose verilated top has these ``ports``.

    Without them, names and sizes are those of the description: what a key is made of before anything is built.
    """

    def name(port: str) -> str:
        return ports[port].name if port in ports else port

    def storage(port: str) -> int:
        return ports[port].storage if port in ports else 0

    def bit(function: str, port: str) -> str:
        return f"inline CData& {function}(Model& model) {{ return model.{name(port)}; }}"

    def memory(function: str, port: str, there: bool) -> str:
        # A signal that a core lacks is never touched: the driver asks for its width first.
        address = f"&model.{name(port)}" if there else "nullptr"
        return f"inline void* {function}([[maybe_unused]] Model& model) {{ return {address}; }}"

    def stream(side: str, described: Stream) -> list[str]:
        lower = side.lower()
        valid, ready, last = (described.port(signal) for signal in ("tvalid", "tready", "tlast"))
        keep, user = described.port("tkeep"), described.port("tuser")
        return [
            f"constexpr int64_t k{side}Bytes = {described.bytes};",
            f"constexpr bool k{side}Keep = {str(described.keep).lower()};",
            f"constexpr bool k{side}Big = {str(described.byte_order == 'big').lower()};",
            f"constexpr int k{side}UserBits = {described.user_bits};",
            f"constexpr size_t k{side}UserBytes = {storage(user) if described.user_bits else 0};",
            f"constexpr uint32_t k{side}UserMask = {(1 << described.user_bits) - 1}u;",
            bit(f"{lower}_valid", valid),
            bit(f"{lower}_ready", ready),
            bit(f"{lower}_last", last),
            memory(f"{lower}_data", described.port("tdata"), True),
            memory(f"{lower}_keep", keep, described.keep),
            memory(f"{lower}_user", user, bool(described.user_bits)),
        ]

    lines = [
        "// Generated from the description of the core.",
        "#pragma once",
        "",
        "#include <cstddef>",
        "#include <cstdint>",
        "",
        '#include "Vcore.h"',
        "",
        "using Model = Vcore;",
        "",
        "namespace ports {",
        f"constexpr bool kResetLow = {str(core.reset.active_low).lower()};",
        f"constexpr int64_t kResetCycles = {core.reset.cycles};",
        bit("clock", core.clock),
        bit("reset", core.reset.port),
        *stream("In", core.input),
        *stream("Out", core.output),
        "}  // namespace ports",
        "",
    ]
    return "\n".join(lines)
