"""A hub on this machine for the tests: the read calls of datasets, transformers and huggingface_hub, over a dictionary.

It can answer every n-th file request with 503, cut a file's transfer in the middle, go down and come back on its port.
"""

import hashlib
import io
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class LoopbackHub:
    """Serves ``repositories``: {"datasets/OWNER/NAME" or "models/NAME": {path: bytes}}."""

    def __init__(self, repositories: dict[str, dict[str, bytes]]):
        self.repositories = repositories
        self.fail_every = 0
        self.cut_after: int | None = None  # file requests that are served before one is cut and the hub goes down
        self.requests: list[tuple[str, str]] = []  # (path, range) of the files served
        self._count = 0
        self._lock = threading.Lock()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.down = threading.Event()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Come up, on the same port as before."""
        hub = self

        class Handler(_Handler):
            owner = hub

        self.down.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Go down."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self.down.set()

    def commit(self, repository: str) -> str:
        files = self.repositories[repository]
        return hashlib.sha1(json.dumps({path: etag(files[path]) for path in sorted(files)}).encode()).hexdigest()

    def admit(self, path: str, wanted: str) -> str:
        """What to do with a request for a file: serve, refuse or cut."""
        with self._lock:
            self._count += 1
            if self.fail_every and self._count % self.fail_every == 0:
                return "refuse"
            if self.cut_after is not None:
                self.cut_after -= 1
                if self.cut_after < 0:
                    return "cut"
            self.requests.append((path, wanted))
            return "serve"


def etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: LoopbackHub

    def log_message(self, *args: Any) -> None:
        pass

    def handle_one_request(self) -> None:
        if self.owner._server is None:  # connections that were kept alive go down with the hub
            self.close_connection = True
        else:
            super().handle_one_request()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        match = re.fullmatch(r"/api/(\w+/.+?)/paths-info/([^/]+)", unquote(urlsplit(self.path).path))
        files = self.owner.repositories.get(match[1]) if match else None
        if files is None:
            return self.missing("RepoNotFound")
        wanted = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body).get("paths", [])
        self.answer([entry(path, files[path]) for path in wanted if path in files])

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        if match := re.fullmatch(r"/api/((?:datasets|models)/.+?)/tree/([^/]+)(?:/(.+))?", path):
            deep = parse_qs(url.query).get("recursive", ["false"])[0].lower() in ("true", "1")
            return self.tree(match[1], match[2], match[3] or "", deep)
        if match := re.fullmatch(r"/api/((?:datasets|models)/.+?)(?:/revision/([^/]+))?", path):
            return self.info(match[1], match[2])
        if match := re.fullmatch(r"/(datasets/.+?|.+?)/resolve/([^/]+)/(.+)", path):
            name = match[1] if match[1].startswith("datasets/") else f"models/{match[1]}"
            return self.file(name, match[2], match[3])
        self.missing("EntryNotFound")

    def known(self, repository: str, revision: str | None) -> dict[str, bytes] | None:
        if repository not in self.owner.repositories:
            self.missing("RepoNotFound")
        elif revision not in (None, "main", self.owner.commit(repository)):
            self.missing("RevisionNotFound")
        else:
            return self.owner.repositories[repository]
        return None

    def info(self, repository: str, revision: str | None) -> None:
        files = self.known(repository, revision)
        if files is not None:
            name = repository.partition("/")[2]
            siblings = [{"rfilename": path} for path in sorted(files)]
            self.answer({"id": name, "sha": self.owner.commit(repository), "siblings": siblings, "tags": []})

    def tree(self, repository: str, revision: str, folder: str, deep: bool) -> None:
        files = self.known(repository, revision)
        if files is None:
            return
        rows: dict[str, dict[str, Any]] = {}
        for path, content in sorted(files.items()):
            parents = [str(parent) for parent in PurePosixPath(path).parents]
            if folder and folder not in parents:
                continue
            inner = path[len(folder) + 1 :] if folder else path
            if deep or "/" not in inner:
                rows[path] = entry(path, content)
            else:
                below = "/".join(filter(None, [folder, inner.split("/")[0]]))
                rows[below] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": below}
        self.answer(list(rows.values())) if rows else self.missing("EntryNotFound")

    def file(self, repository: str, revision: str, path: str) -> None:
        files = self.known(repository, revision)
        if files is None:
            return
        if path not in files:
            return self.missing("EntryNotFound")
        content, status = files[path], 200
        headers = {"ETag": f'"{etag(content)}"', "X-Repo-Commit": self.owner.commit(repository)}
        wanted = self.headers.get("Range") or ""
        if match := re.fullmatch(r"bytes=(\d*)-(\d*)", wanted):
            size = len(content)
            first = int(match[1]) if match[1] else max(0, size - int(match[2]))
            last = min(int(match[2]), size - 1) if match[1] and match[2] else size - 1
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            content, status = content[first : last + 1], 206
        if self.command == "GET":
            what = self.owner.admit(path, wanted)
            if what == "refuse":
                return self.answer({"error": "busy"}, 503)
            if what == "cut":
                self.send_content(content, status, headers, content[: len(content) // 2])
                self.close_connection = True
                threading.Thread(target=self.owner.stop, daemon=True).start()
                return
        self.send_content(content, status, headers, content if self.command == "GET" else b"")

    def send_content(self, whole: bytes, status: int, headers: dict[str, str], sent: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Accept-Ranges": "bytes", "Content-Length": str(len(whole))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)

    def answer(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_content(body, status, {"Content-Type": "application/json"}, b"" if self.command == "HEAD" else body)

    def missing(self, code: str) -> None:
        self.send_response(404)
        for name, value in {"X-Error-Code": code, "X-Error-Message": code, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()


def entry(path: str, content: bytes) -> dict[str, Any]:
    row: dict[str, Any] = {"type": "file", "oid": etag(content)[:40], "size": len(content), "path": path}
    if path.endswith(".parquet"):
        row["lfs"] = {"oid": etag(content), "size": len(content), "pointerSize": 134}
    return row


def parquet(rows: list[dict[str, Any]], row_group_size: int) -> bytes:
    """A parquet file's bytes."""
    import pyarrow
    from pyarrow.parquet import write_table

    file = io.BytesIO()
    write_table(pyarrow.Table.from_pylist(rows), file, row_group_size=row_group_size)
    return file.getvalue()
