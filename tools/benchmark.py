#!/usr/bin/env python3
"""Measure the speed of a config: this is `slowfast benchmark`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("benchmark"))
