"""A sandbox of Kantata OX: rules and rows in `service.py`, the vendor's HTTP in `app.py`.

Run alone: `python -m platforms.kit.sandbox.server kantata --state .tieout/sandbox --port 8701 --tls-port 8801`.
"""

from __future__ import annotations

from platforms.kantata.sandbox.app import create_app
from platforms.kantata.sandbox.service import open_service
from platforms.kantata.sandbox.setup import environment
from platforms.kit.sandbox.registry import SandboxSpec

SANDBOX = SandboxSpec(
    name="kantata",
    port_offset=1,
    open_service=open_service,
    create_app=create_app,
    environment=environment,
    hosts=("api.mavenlink.com", "app.mavenlink.com"),
)
