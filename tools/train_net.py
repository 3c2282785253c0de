#!/usr/bin/env python3
"""Train without testing afterwards: train_net.py --cfg FILE [FILE ...] [KEY VALUE ...]."""

from run_net import main

if __name__ == "__main__":
    main(with_test=False, description=__doc__)
