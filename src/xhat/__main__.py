"""`python -m xhat` is `xhat`."""

import sys

from .cli import main

sys.exit(main())
