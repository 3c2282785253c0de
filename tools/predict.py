#!/usr/bin/env python3
"""Predict the classes of videos with a trained model: this is `slowfast predict`."""

import sys

from slowfast.commands import start

if __name__ == "__main__":
    sys.exit(start("predict"))
