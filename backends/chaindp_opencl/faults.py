"""What pyopencl raises, as one line that says what was being done, on which device, what went wrong and what helps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from chaindp.errors import PluginError

__all__ = ["BuildError", "DeviceLostError", "DeviceMemoryError", "Guard", "build_log_lines", "translate"]

LOG_LINES = 5
LOG_LINE_LENGTH = 160


class DeviceMemoryError(PluginError):
    """The device, or the driver on its behalf, has no memory for what was asked of it; a smaller batch may fit."""


class DeviceLostError(PluginError):
    """The device or its context no longer works: what was on it is lost, and only a fresh process may find it again."""


class BuildError(PluginError):
    """The driver's compiler rejects a program, or fails on it."""


MEMORY = ("MEM_OBJECT_ALLOCATION_FAILURE", "OUT_OF_HOST_MEMORY", "INVALID_BUFFER_SIZE", "MAP_FAILURE")
LOST = (
    "DEVICE_NOT_AVAILABLE",
    "INVALID_COMMAND_QUEUE",
    "INVALID_CONTEXT",
    "INVALID_DEVICE",
    "EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST",
)
BUILD = (
    "BUILD_PROGRAM_FAILURE",
    "COMPILE_PROGRAM_FAILURE",
    "LINK_PROGRAM_FAILURE",
    "COMPILER_NOT_AVAILABLE",
    "LINKER_NOT_AVAILABLE",
    "INVALID_BUILD_OPTIONS",
    "INVALID_BINARY",
)

# No memory is asked for by these: where they run out of resources, a kernel that ran before faulted or was stopped.
WAITING = re.compile(r"cl(Finish|Flush|WaitForEvents|GetEventProfilingInfo|ReleaseMemObject|EnqueueReadBuffer)")

NVIDIA_ILLEGAL_ACCESS = -9999
"""Outside of the standard: NVIDIA's driver reports a kernel that read or wrote where it must not."""


def translate(error: Exception, label: str, doing: str) -> PluginError:
    """The error to raise for ``error``, which pyopencl raised on ``label`` while ``doing``: "opencl:1", "hashing".

    One of DeviceMemoryError, DeviceLostError, BuildError or, for everything else, PluginError with the status's name.
    """
    status, code, routine = _status(error)
    where = f"{label}: {doing}"
    by = f"{routine} reports {status}" if routine else status
    if status == "PLATFORM_NOT_FOUND_KHR":
        return PluginError(f"{where}: no OpenCL driver is installed; 'chaindp doctor' says what to install")
    if status in BUILD:
        lines = build_log_lines(str(error))
        said = " | ".join(lines) if lines else "the driver gives no reason"
        return BuildError(f"{where}: a program does not build ({status}): {said}")
    if status in MEMORY or (status == "OUT_OF_RESOURCES" and not WAITING.match(routine)):
        return DeviceMemoryError(f"{where}: out of device memory ({by}); use a smaller batch or free device memory")
    if status in LOST or status == "OUT_OF_RESOURCES":
        return DeviceLostError(
            f"{where}: the device is lost ({by}): it was removed or reset, or a kernel on it faulted or ran too long; "
            "start again, and see the driver's messages in dmesg"
        )
    if code == NVIDIA_ILLEGAL_ACCESS:
        return DeviceLostError(f"{where}: the device is lost ({by}): a kernel read or wrote outside of its memory")
    return PluginError(f"{where}: {by}")


def _status(error: Exception) -> tuple[str, int, str]:
    """Name of the status, its code (0 where the error carries none) and the OpenCL routine (may be empty)."""
    import pyopencl

    code = getattr(error, "code", None)
    if not isinstance(code, int) or code == 0:
        # pyopencl's own complaint, of no routine: its text is all that there is.
        return " ".join(str(error).split()) or type(error).__name__, 0, ""
    # Its type stubs make a call of it an error.
    codes: Any = pyopencl.status_code
    return codes.to_string(code, "status %d"), code, str(getattr(error, "routine", "") or "")


class Guard:
    """A context manager: what pyopencl raises within it leaves it as ``translate`` words it; all else passes through.

    ``label`` and ``doing`` are as ``translate`` takes them.
    """

    __slots__ = ("doing", "error", "label")

    def __init__(self, error: type[Exception], label: str, doing: str) -> None:
        self.error = error
        self.label = label
        self.doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, self.error):
            raise translate(error, self.label, self.doing) from error


# What pyopencl and the compilers write around the errors themselves.
BANNERS = re.compile(
    r"""
    \s*$
    | =+$
    | Build\ on\ <
    | .*\ failed:\ [A-Z_]+(\ -\ .*)?$           # pyopencl's own first line
    | \(options:\ | \(source\ saved\ as\ | Options\ used\ by
    | (Compilation|Linking|Device\ build)\ (started|done|failed)
    | \d+\ (errors?|warnings?).*\ generated
    | Failed\ to\ build\ program | Device\ .*\ failed\ to\ build
    | In\ file\ included\ from
    | [\s|]*[\^~]+[\s~^]*$                      # the caret below a quoted line
    """,
    re.VERBOSE,
)
ERROR = re.compile(r"\berrors?\b|undefined|unknown target|cannot|not supported|fail", re.IGNORECASE)
LESSER = re.compile(r"\b(warning|note|remark)\s*:", re.IGNORECASE)
FOLDER = re.compile(r"(?:/[^\s/:'\"]+)+/(?=[^\s/:'\"]+)")


def build_log_lines(log: str, limit: int = LOG_LINES) -> Sequence[str]:
    """The first lines of a build log that say why, at most ``limit``: errors; where no line is one, what there is.

    Folders are cut from paths, each line is one line of at most 160 characters, and repetitions are left out.
    """
    lines = [line.strip() for line in log.replace("\x00", "").splitlines() if not BANNERS.match(line.strip())]
    wanted = [line for line in lines if ERROR.search(line) and not LESSER.search(line)]
    if not wanted:
        wanted = [line for line in lines if not LESSER.search(line)] or lines
    short = dict.fromkeys(FOLDER.sub("", line)[:LOG_LINE_LENGTH] for line in wanted)
    return list(short)[:limit]
