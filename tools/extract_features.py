#!/usr/bin/env python3
"""Write the features of many videos to one array: this is `slowfast features`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("features"))
