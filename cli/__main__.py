"""`python -m cli`: the command line."""

import sys

if __name__ == "__main__":
    try:
        # The imports take half a second, in which Ctrl-C would print a traceback.
        from cli.app import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()
