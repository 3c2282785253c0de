#!/usr/bin/env python3
"""Find the videos that cannot be used: this is `slowfast check`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("check"))
