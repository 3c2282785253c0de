#!/usr/bin/env python3
"""Test without training: test_net.py --cfg FILE [FILE ...] [KEY VALUE ...]."""

from run_net import main

if __name__ == "__main__":
    main(with_training=False, description=__doc__)
