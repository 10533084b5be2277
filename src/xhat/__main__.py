"""`xhat`, which `python -m xhat` is, too: Ctrl-C is clean while the program itself is still being imported."""

import os
import sys


def main() -> int:
    """Runs the command line and returns the exit code.

    Threads that wait for each other sleep, unless the user's OMP_WAIT_POLICY says otherwise: by default they spin, and
    beside another program each then holds up the other for whole time slices (three times as long was measured).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded
    try:
        from .cli.arguments import main as run
    except KeyboardInterrupt:
        print("xhat: interrupted", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
