#!/usr/bin/env python3
"""Export a trained model as one program: this is `slowfast export`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("export"))
