"""The error for users' mistakes, and the text that a command line prints for it."""

import inspect
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any


class UserError(ValueError):
    """A mistake of the user: the message names the key or the file, the value and the fix.

    Command lines print the message and exit with status 2; every other exception keeps its traceback.
    """


@contextmanager
def errors_name(path, overridden: Collection = ()) -> Iterator[None]:
    """Put `path: ` in front of the messages of UserErrors, unless they start with a key that is `overridden`.

    With None for the path nothing changes.
    """
    try:
        yield
    except UserError as error:
        if path is None or str(error).split(":")[0] in overridden:
            raise
        raise UserError(f"{path}: {error}").with_traceback(error.__traceback__) from None


@contextmanager
def errors_name_output(output_dir: Any, name: str = "OUTPUT_DIR") -> Iterator[None]:
    """Turn an error of the system, while something is written to `output_dir`, into a UserError with its key `name`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{name} is {str(output_dir)!r}, where nothing can be written ({error.strerror}): use another folder"
        ) from error


def check_call(function: Callable, form: str, *args: Any) -> None:
    """Raise UserError unless `function` takes `args`. `form` shows the definition that does."""
    try:
        inspect.signature(function).bind(*args)
    except TypeError as error:
        raise UserError(f"{getattr(function, '__qualname__', function)}: {error}; define it as {form}") from None


def user_message(error: BaseException) -> str:
    """Return the message of an error, in one line if the error comes from a worker process of a loader."""
    text = str(error).strip()
    if "Original Traceback" in text:  # a worker sends its traceback as text, with our message in the last line
        return text.splitlines()[-1].split(": ", 1)[-1]
    return text or type(error).__name__
