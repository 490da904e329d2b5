"""Runs inside `.venv-tryton`: starts trytond with the arguments given, and ends it when whoever started it is gone.

    python launch.py <path of the trytond script> -c trytond.conf -d firm

Standard input is a pipe that nobody writes to: it closes when the parent is gone, however it went.
"""

import os
import runpy
import sys
import threading


def leave_with_parent() -> None:
    """Wait for the end of standard input, unbuffered so that no lock is held at exit, and leave at once."""
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=leave_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
