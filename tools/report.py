#!/usr/bin/env python3
"""Write one HTML page about a run: this is `slowfast report`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("report"))
