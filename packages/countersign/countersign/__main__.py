"""`python -m countersign` is the command `countersign`."""

from countersign.cli import main

if __name__ == "__main__":
    main()
