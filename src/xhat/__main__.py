"""`python -m xhat` is `xhat`."""

import sys

from .cli.arguments import main

sys.exit(main())
