"""The optional packages: the extra that installs each, what it is for, and the error where one is missing.

Standard library only, so that it works on any installation.
"""

import importlib.util
from typing import NamedTuple

from slowfast.errors import UserError


class Package(NamedTuple):
    """The extra of this package that installs an optional one, and what that is used for."""

    extra: str
    use: str


EXTRAS = {
    "matplotlib": Package("plot", "figures"),
    "jinja2": Package("plot", "reports"),
    "tensorboard": Package("tensorboard", "curves"),
    "tqdm": Package("progress", "progress bars"),
    "argcomplete": Package("completion", "completion in a shell"),
    "onnx": Package("onnx", "export to ONNX"),
    "onnxscript": Package("onnx", "export to ONNX"),
    "onnxruntime": Package("onnx", "export to ONNX"),
}


def is_installed(package: str) -> bool:
    """Return whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def missing_text(what: str, *packages: str) -> str:
    """Return the message that `what` needs packages, all of one extra, that are not installed."""
    names = ", ".join(packages)
    return f"{what} needs {names}: pip install {' '.join(packages)} (extra {EXTRAS[packages[0]].extra!r})"


def require(what: str, *packages: str) -> None:
    """Raise UserError if one of the packages, all of one extra, is not installed. `what` is what needs them."""
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        raise UserError(missing_text(what, *missing))
