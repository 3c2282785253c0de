"""The error for users' mistakes."""


class UserError(ValueError):
    """A mistake of the user: the message names the key or the file, the value and the fix.

    Command lines print the message and exit with status 2; every other exception keeps its traceback.
    """
