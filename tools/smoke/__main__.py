"""`python -m tools.smoke`."""

import sys

from tools.smoke.command import main

if __name__ == "__main__":
    sys.exit(main())
