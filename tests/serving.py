"""A folder served to a browser on this machine, as it would be published, and what the search of a site answers there."""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

PACKED = (".html", ".css", ".js", ".json", ".svg", ".xml", ".txt")  # what hosts of sites compress
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}  # windows of a browser


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Quiet, and with what ``serve`` says changed on its way."""

    protocol_version = "HTTP/1.1"  # connections are kept

    def __init__(self, *arguments, searched: bool, packed: bool, **options) -> None:
        self.searched, self.packed = searched, packed
        super().__init__(*arguments, **options)

    def log_message(self, *_) -> None:
        pass

    def send_head(self):
        path = Path(self.translate_path(self.path))
        if path.name == "search_index.json" and path.is_file() and not self.searched:
            return self.send_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"docs": []}), "application/json")
        page = path / "index.html" if path.is_dir() and self.path.partition("?")[0].endswith("/") else path
        if self.packed and page.is_file() and page.suffix in PACKED:
            return self.send_text(page.read_text(encoding="utf-8"), self.guess_type(page))
        return super().send_head()

    def send_text(self, text: str, kind: str) -> BytesIO:
        content = gzip.compress(text.encode()) if self.packed else text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if self.packed:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return BytesIO(content)


@contextmanager
def serve(folder: Path, searched: bool = False, packed: bool = False) -> Iterator[str]:
    """The URL under which a folder can be read until the end of the block.

    A sitemap names this server's addresses, whatever the site was built for: Material for MkDocs changes pages without
    reloading only if the page is in it, port included. Unless it is to be ``searched``, the site's search index is empty: to
    take it in costs each page that is opened as much as all else together. ``packed``: texts are compressed, as hosts do;
    that takes time, and only what measures the way to a reader asks for it.
    """
    handler = functools.partial(_Handler, directory=str(folder), searched=searched, packed=packed)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def answers(tab, query: str, most: int = 8) -> list[str]:
    """The addresses that the site's search answers with, the first at the head; of each page its best sections follow it."""
    box, links = tab.locator(".md-search__input"), tab.locator(".md-search-result__link")
    found: list[str] = []
    for text, wanted in (("", False), (query, True)):
        box.fill(text)
        box.press("End")  # the theme listens to keys
        for _ in range(50):  # until they stay as they are
            tab.wait_for_timeout(100)
            before, found = found, links.evaluate_all("(all, most) => all.slice(0, most).map(({ href }) => href)", most)
            if found == before and bool(found) == wanted:
                break
    return found
