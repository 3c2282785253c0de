#!/usr/bin/env python3
"""Write the features of many videos to one array: this is `slowfast extract-features`."""

import sys

from slowfast.commands.extract_features import main

if __name__ == "__main__":
    sys.exit(main())
