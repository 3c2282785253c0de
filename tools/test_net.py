#!/usr/bin/env python3
"""Test: this is `slowfast test`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("test"))
