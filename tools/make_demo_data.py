#!/usr/bin/env python3
"""Write a small data set of moving shapes: this is `slowfast demo-data`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("demo-data"))
