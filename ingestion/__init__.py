"""Reads the platforms into the warehouse; dlt lives here and nowhere else."""

import os

# dlt reports usage to its makers unless told not to, and starts doing so with its first use. A firm's set-up says
# otherwise by setting the variable itself.
os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
