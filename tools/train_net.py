#!/usr/bin/env python3
"""Train: this is `slowfast train`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("train"))
