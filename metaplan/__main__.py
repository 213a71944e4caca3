"""``python -m metaplan`` is the command line."""

from metaplan.cli import main

if __name__ == "__main__":
    main()
