"""`python -m mxspark` is `mxspark`."""

from mxspark.cli import main

if __name__ == "__main__":
    main()
