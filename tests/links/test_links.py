"""What ``nox -s links`` does with .github/lychee.toml, tried on a server of this machine: what is dead, where, how politely.

Run by that session alone, which has lychee.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.links
SETTINGS = Path(__file__).resolve().parents[2] / ".github" / "lychee.toml"
PAGE = """---
links:
  - url: http://pages.guide/gone-in-front-matter
---

A [page](http://pages.guide/there), one that [moved](http://pages.guide/moved), one that is
[gone](http://pages.guide/gone), one that [answers the second time](http://pages.guide/busy), and one whose
[host is in trouble](http://pages.guide/trouble).

`http://127.0.0.1:9/own` is the reader's own, http://pages.guide/{name} is made up.
"""


class Host(ThreadingHTTPServer):
    """A server that notes when it was asked for what, and for how many at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []
        self.under_way = self.most = 0
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    """Answers by the path."""

    server: Host

    def do_GET(self) -> None:
        self.server.under_way += 1
        self.server.most = max(self.server.most, self.server.under_way)
        path = urlsplit(self.path).path
        before = [one for _, one in self.server.asked]
        self.server.asked.append((time.monotonic(), path))
        time.sleep(0.2)
        status = {"/there": 200, "/moved": 301, "/trouble": 503, "/busy": 200 if "/busy" in before else 429}.get(path, 404)
        self.send_response(status)
        if status == 301:
            self.send_header("Location", "http://pages.guide/there")
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.under_way -= 1

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> tuple[Host, subprocess.CompletedProcess[str]]:
    """The server as it was asked, and what lychee said of a page."""
    folder, host = tmp_path_factory.mktemp("pages"), Host()
    (folder / "page.md").write_text(PAGE, encoding="utf-8")
    threading.Thread(target=host.serve_forever, daemon=True).start()
    proxy = {"http_proxy": f"http://{host.server_address[0]}:{host.server_address[1]}"}  # whichever host is asked for
    command = ["lychee", "--config", str(SETTINGS), "--retry-wait-time", "1", "page.md"]
    done = subprocess.run(command, cwd=folder, env=os.environ | proxy, capture_output=True, text=True, check=False)
    host.shutdown()
    return host, done


def test_each_dead_link_is_named_with_its_file_and_line_and_no_other(found):
    """What moved, what answers the second time, and a page of a host in trouble are not dead."""
    host, done = found
    assert done.returncode != 0 and "Errors in page.md" in done.stdout
    dead = re.findall(r"^\* \[(\d+)\] <(\S+)> \(at (\d+):", done.stdout, re.MULTILINE)
    assert sorted(dead) == [("404", "http://pages.guide/gone", "7"), ("404", "http://pages.guide/gone-in-front-matter", "3")]
    assert [path for _, path in host.asked].count("/busy") == 2


def test_a_host_is_asked_for_one_at_a_time_with_a_pause(found):
    host, _ = found
    assert host.most == 1
    times = [when for when, path in host.asked if path != "/there"]  # the redirect's goal is asked for at once
    assert min(after - before for before, after in pairwise(times)) > 0.9


def test_what_is_no_address_of_others_is_not_asked(found):
    host, done = found
    assert {path for _, path in host.asked} == {"/there", "/moved", "/gone", "/gone-in-front-matter", "/busy", "/trouble"}
    assert "127.0.0.1:9" not in done.stdout
