"""What can go wrong, by whose fault it was."""

from __future__ import annotations


class Error(Exception):
    """Something went wrong; the message says what, and what would help."""

    remedy: str | None = None
    """What would help, where something is known to."""


class UsageError(Error, ValueError):
    """An argument is out of range, or an output is there already."""


class InputError(Error, ValueError):
    """The photos, the weights or the run can't be used."""


class DeviceError(Error, RuntimeError):
    """The machine failed: its graphics adapter, the driver, or a want of threads or memory."""


class IoError(Error, OSError):
    """The file system or the network failed."""
