#!/usr/bin/env python3
"""Draw the figures of runs from their logs: plot.py RUN [RUN ...] [--out DIR]. See docs/FIGURES.md."""

import sys

from slowfast.commands.plot import main

if __name__ == "__main__":
    sys.exit(main())
