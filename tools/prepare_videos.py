#!/usr/bin/env python3
"""Write copies of the videos that are fast to decode: this is `slowfast prepare`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("prepare"))
