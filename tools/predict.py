#!/usr/bin/env python3
"""Predict the classes of videos with a trained model: this is `slowfast predict`."""

import sys

from slowfast.commands.predict import main

if __name__ == "__main__":
    sys.exit(main())
