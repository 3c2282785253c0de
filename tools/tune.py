#!/usr/bin/env python3
"""Find a learning rate and the largest batch for a config: this is `slowfast tune`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("tune"))
