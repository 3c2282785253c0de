#!/usr/bin/env python3
"""Draw the clips that a network receives. See slowfast/commands/show_clips.py, or --help."""

import sys

from slowfast.commands.show_clips import main

if __name__ == "__main__":
    sys.exit(main())
