"""`xhat`, which `python -m xhat` is, too: Ctrl-C is clean while the program itself is still being imported."""

import sys


def main() -> int:
    """Runs the command line and returns the exit code."""
    try:
        from .cli.arguments import main as run
    except KeyboardInterrupt:
        print("xhat: interrupted", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
