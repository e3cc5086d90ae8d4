"""The errors that a user can cause. The command line prints them as one message, without a traceback, and exits 1."""

import errno

REFUSALS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
)
"""Numbers of the OSErrors that the machine is to blame for."""


class UserError(ValueError):
    """Something the user gave (a file, a flag, a layout) cannot be used; the message says what to do about it."""


class ConfigurationError(UserError):
    """A configuration value is impossible by itself or together with another one."""


class IncompleteResultError(UserError):
    """All outputs were written and are whole, but part of the input was damaged and is not in them."""


class LostRankError(UserError):
    """Another rank of the job ended or does not answer; that rank says why."""


class RankFailedError(RuntimeError):
    """One of several ranks failed by a bug or by the machine; its traceback has been printed with its number."""
