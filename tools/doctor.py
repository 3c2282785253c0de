#!/usr/bin/env python3
"""Examine the installation and the machine: this is `slowfast doctor`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("doctor"))
