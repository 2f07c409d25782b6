"""The exceptions that millstream raises on its own account.

An error in user code is never replaced: it arrives as the ``__cause__`` of the
error that names the step, with its own traceback.
"""

__all__ = [
    "ApiError",
    "ClusterError",
    "InconsistentPartitionsError",
    "InvalidDataflowError",
    "MillstreamRuntimeError",
    "MissingPartitionsError",
    "NoPartitionsError",
    "RecoveryError",
    "StateVersionError",
    "StoreError",
    "UnknownOutputError",
]


class MillstreamRuntimeError(RuntimeError):
    """A step failed while the dataflow was running.

    The message says what was being called, in which step, and for which key and
    item, as far as they are known. The user's own exception is ``__cause__``.
    """


class InvalidDataflowError(MillstreamRuntimeError, ValueError):
    """A dataflow that can't run at all, such as one without an output.

    Raised by the entry points before anything is opened.
    """


class ClusterError(MillstreamRuntimeError):
    """Processes didn't come together, or another one is lost or has failed."""

    exit_code: int = 75
    """What the command line ends with."""

    process: int | None = None
    """The number of the process that is lost or has failed."""

    is_loss: bool = False
    """Whether it is lost, and can't say why itself."""


class ApiError(MillstreamRuntimeError):
    """The HTTP API can't be served where it was asked for; nothing has begun."""

    exit_code: int = 64
    """What the command line ends with."""


class StoreError(Exception):
    """What all errors of a recovery store have in common."""

    exit_code: int = 70
    """What the command line ends with."""


class RecoveryError(StoreError, MillstreamRuntimeError):
    """The store can't be used, or doesn't go with the dataflow."""


class InconsistentPartitionsError(StoreError, ValueError):
    """The files of the store are damaged, or not of one time."""


class NoPartitionsError(StoreError, FileNotFoundError):
    """There is no store in the directory."""


class MissingPartitionsError(StoreError, FileNotFoundError):
    """Some files of the store are missing."""


class StateVersionError(StoreError, ValueError):
    """State was kept in a version that its class can't read."""

    exit_code = 78


class UnknownOutputError(StoreError, FileExistsError):
    """A sink would write over what the store knows nothing of."""

    exit_code = 76
