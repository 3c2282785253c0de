#!/usr/bin/env python3
"""Export a trained model as one program: this is `slowfast export`."""

import sys

from slowfast.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
