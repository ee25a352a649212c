"""`python -m reconciler`: the same command as `ebbtide`, for debuggers and for checkouts that are not installed."""

from reconciler.cli import main

if __name__ == "__main__":
    main.run()
