#!/usr/bin/env python3
"""Train and test: this is `slowfast run`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("run"))
