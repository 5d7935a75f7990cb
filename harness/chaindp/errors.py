"""Every error that a user can cause, each one line long and with the exit status it leads to."""

from __future__ import annotations

__all__ = ["CapabilityError", "ChaindpError", "CheckFailed", "InputError", "PluginError", "StoreError", "UsageError"]


class ChaindpError(Exception):
    """Base of all errors that chaindp raises on purpose; ``str()`` is one line: what, where, what to do."""

    exit_status = 1


class UsageError(ChaindpError):
    """A wrong call: an unknown name, an option out of range, a file that is not there."""

    exit_status = 2


class InputError(UsageError):
    """Input that is not what it claims to be: malformed JSON or RLP, a hostile length, a truncated file."""


class CheckFailed(ChaindpError):
    """What was asked for ran and does not hold: a wrong digest, a wrong root, a failed test."""


class CapabilityError(UsageError):
    """A kernel was asked of a backend that does not have it."""


class PluginError(ChaindpError):
    """A plugin breaks the contract: a name clash, a broken factory, a wrong type from a hook."""


class StoreError(ChaindpError):
    """The state store is missing, of another version, or damaged."""
