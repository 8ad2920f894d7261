"""`mxspark` and `python -m mxspark`."""

import sys


def main() -> None:
    """The command line, where Ctrl-C is heard while Python is still importing."""
    try:
        from mxspark import cli
    except KeyboardInterrupt:
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
