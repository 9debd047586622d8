"""`python -m frostline`: the command line."""

import sys

from frostline.cli import main

if __name__ == "__main__":
    sys.exit(main())
