"""`python -m slowfast` is the command `slowfast`."""

import sys

from slowfast.commands import main

if __name__ == "__main__":
    sys.exit(main())
