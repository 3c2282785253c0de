#!/usr/bin/env python3
"""Write one HTML page about a run: report.py RUN [--out FILE.html]. See docs/FIGURES.md."""

import sys

from slowfast.commands.report import main

if __name__ == "__main__":
    sys.exit(main())
