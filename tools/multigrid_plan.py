#!/usr/bin/env python3
"""Print the schedule of a config: this is `slowfast plan`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("plan"))
