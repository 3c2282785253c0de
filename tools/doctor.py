#!/usr/bin/env python3
"""Examine the installation and the machine. See slowfast/commands/doctor.py, or --help."""

import sys

from slowfast.commands.doctor import main

if __name__ == "__main__":
    sys.exit(main())
