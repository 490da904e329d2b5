"""How fast ingestion is, against a bare loop that fetches the same pages and throws them away.

    python -m tests.benchmarks.ingestion --scale small

Every request that ingestion sends is written down, then sent again, one after the other, by a bare httpx client that
reads each answer and drops it. The goal is a ratio of at most 1.5. The sandboxes run in processes of their own, with
their rate limits off, since a limit would make both equally slow.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ingestion import connections, pipelines, sources

PLATFORMS = ("salesforce", "kantata", "netsuite")


@dataclass(frozen=True)
class Sent:
    """One request as it went out."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    content: bytes


class Recorder(httpx.BaseTransport):
    """Sends requests on and remembers them. Keeps the results of bulk jobs from being deleted, for the second round."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        if request.method == "DELETE":
            return httpx.Response(204)
        if "token" not in request.url.path:
            self.sent.append(Sent(request.method, str(request.url), list(request.headers.items()), content))
        return self.inner.handle_request(request)

    def close(self) -> None:
        self.inner.close()


def bare(sent: Sequence[Sent]) -> tuple[float, int]:
    """Send the same requests again and drop the answers: (seconds, bytes)."""
    size = 0
    started = time.monotonic()
    with httpx.Client(timeout=120) as client:
        for one in sent:
            response = client.request(one.method, one.url, headers=one.headers, content=one.content or None)
            response.raise_for_status()
            size += len(response.content)
    return time.monotonic() - started, size


def unlimited(env: Mapping[str, str]) -> None:
    """Take the rate limits off the sandboxes that `env` points at, and off our own budgets."""
    for platform in PLATFORMS:
        base = httpx.URL(env[connections.environment_name(platform, "base_url")])
        httpx.post(f"{base.scheme}://{base.netloc.decode()}/_sandbox/limits", json={}).raise_for_status()
        os.environ[connections.environment_name(platform, "requests_per_second")] = "100000"
        os.environ[connections.environment_name(platform, "burst")] = "100000"


def measure(platform: str, home: Path) -> dict[str, Any]:
    """One platform: a load that notes its requests (and warms the sandbox's caches), the bare loop over the same
    requests, the load that is timed, into an empty home, and one more without news."""
    recorder = Recorder()
    first = home / "noted"
    pipelines.run(
        sources.source(platform, home=first, client=lambda: connections.client(platform, first, transport=recorder)),
        first,
    )
    loop, size = bare(recorder.sent)
    started = time.monotonic()
    report = pipelines.run(sources.source(platform, home=home), home)
    whole = time.monotonic() - started
    started = time.monotonic()
    again = pipelines.run(sources.source(platform, home=home), home)
    return {
        "rows": report.total_rows,
        "requests": len(recorder.sent),
        "megabytes": round(size / 1e6, 1),
        "seconds": round(whole, 2),
        "rows_per_second": round(report.total_rows / whole),
        "steps": report.seconds,
        "bare_seconds": round(loop, 2),
        "ratio": round(whole / loop, 2),
        "second_run_seconds": round(time.monotonic() - started, 2),
        "second_run_rows": again.total_rows,
        "peak_rss_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main(env: Mapping[str, str], home: Path) -> dict[str, Any]:
    """Measure all platforms that `env` points at, into a fresh `home`; returns the figures by platform and overall."""
    os.environ.update(env)
    unlimited(env)
    # What is loaded once a process (dlt, pyarrow) is no part of any platform's time.
    pipelines.run(sources.source("tieout", home=home), home)
    figures: dict[str, Any] = {platform: measure(platform, home) for platform in PLATFORMS}
    whole = sum(figures[platform]["seconds"] for platform in PLATFORMS)
    loop = sum(figures[platform]["bare_seconds"] for platform in PLATFORMS)
    rows = sum(figures[platform]["rows"] for platform in PLATFORMS)
    started = time.monotonic()
    published = pipelines.publish(home)
    figures["all"] = {
        "rows": rows,
        "seconds": round(whole, 2),
        "rows_per_second": round(rows / whole),
        "ratio": round(whole / loop, 2),
        "publish_seconds": round(time.monotonic() - started, 2),
        "published_megabytes": round(published.stat().st_size / 1e6, 1),
        "peak_rss_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    return figures


def _alone() -> None:
    """Make a firm, serve it, measure."""
    from platforms.kit.sandbox.registry import sandbox
    from platforms.kit.sandbox.server import start_all
    from platforms.world.firm import populate

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="small")
    parser.add_argument("--state", type=Path, help="a folder with a firm already made, or where to make it")
    parser.add_argument("--port-base", type=int, default=18700)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tieout-benchmark-"))
    try:
        state = given.state or folder / "sandbox"
        populate(state, scale=given.scale)
        with start_all([sandbox(name) for name in PLATFORMS], state, given.port_base) as fleet:
            figures = main(fleet.env, folder / "home")
        json.dump(figures, sys.stdout, indent=2)
        sys.stdout.write("\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _alone()
