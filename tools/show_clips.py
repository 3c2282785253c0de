#!/usr/bin/env python3
"""Draw the clips that a network receives: this is `slowfast show-clips`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("show-clips"))
