"""What the doctor finds, and the versions of the packages. Standard library only, so that it works without them."""

import importlib
import platform
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from slowfast.utils.extras import EXTRAS, is_installed

OK, WARNING, PROBLEM = "ok", "warning", "problem"
REQUIRED = {  # module: package
    "torch": "torch",
    "numpy": "numpy",
    "av": "av",
    "cv2": "opencv-python-headless",
    "yacs": "yacs",
    "fvcore": "fvcore",
    "simplejson": "simplejson",
}


class Finding(NamedTuple):
    """The result of a check: its subject, OK, WARNING or PROBLEM, what was found, and the fix if there is one."""

    subject: str
    level: str
    text: str
    fix: str = ""


def versions() -> list[Finding]:
    """Return the versions of Python and the packages, with a problem for each that cannot be imported."""
    found, findings = [f"python {platform.python_version()}"], []
    for module, package in REQUIRED.items():
        try:
            version = getattr(importlib.import_module(module), "__version__", "")
            found.append(f"{package} {version}".strip())
        except (ImportError, OSError) as error:  # OSError: of its libraries
            findings.append(Finding(package, PROBLEM, f"cannot be imported: {error}", f"pip install {package}"))
    missing = [f"{name} (for {package.use})" for name, package in EXTRAS.items() if not is_installed(name)]
    absent = f"; not installed: {', '.join(missing)}" if missing else ""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return [Finding("versions", OK, f"{', '.join(found)}; {system}{absent}"), *findings]


def lines_of(finding: Finding, private: Mapping[str, str] | None = None) -> list[str]:
    """Return a finding as lines of a report. `private`: texts, such as paths, with their replacements."""
    lines = [f"{finding.level:<8} {finding.subject:<15} {finding.text}"]
    lines += [f"{'':<8} {'':<15} fix: {finding.fix}"] if finding.fix else []
    for text in sorted(private or {}, key=len, reverse=True):
        lines = [line.replace(text, (private or {})[text]) for line in lines]
    return lines


def summary(findings: Sequence[Finding]) -> str:
    """Return the numbers of problems and warnings as text."""
    counts = {level: sum(finding.level == level for finding in findings) for level in (PROBLEM, WARNING)}
    return ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items())
