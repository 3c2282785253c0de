#!/usr/bin/env python3
"""Draw the figures of runs from their logs: this is `slowfast plot`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("plot"))
