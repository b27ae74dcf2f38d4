"""Up to a Hub and down again, against a server on this machine that speaks as much of its protocol as is used."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest
import torch
from torch import nn

import tamis
from tamis.errors import FileError, UsageError
from tamis.interop import MODEL_FILE, load_from_hub, push_to_hub, save_folder

from .optional_packages import needs

COMMIT = "c" * 40
pytestmark = pytest.mark.filterwarnings("ignore")  # of the Hub's client


class StubHub(BaseHTTPRequestHandler):
    """Repositories in a dictionary: made, committed to with files in the request's body, and read."""

    repositories: dict[str, dict[str, bytes]]
    asked: list[str]

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, status: int, body: object = b"", headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(self.path.partition("?")[0])
        self.asked.append(f"POST {path}")
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.repositories.setdefault(name, {})
            self.answer(200, {"url": f"http://{self.headers['Host']}/{name}"})
        elif path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            self.answer(
                200,
                {
                    "files": [
                        {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None} for f in files
                    ]
                },
            )
        elif path.endswith("/commit/main"):
            name = path.removeprefix("/api/models/").removesuffix("/commit/main")
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.repositories[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer(
                200, {"commitUrl": f"http://{self.headers['Host']}/{name}/commit/{COMMIT}", "commitOid": COMMIT}
            )
        elif path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
        else:
            self.answer(404, {"error": "no such thing"})

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.asked.append(f"{self.command} {path}")
        name, _, file = path[1:].partition("/resolve/main/")
        if path.startswith("/api/models/"):
            known = path.removeprefix("/api/models/").partition("/revision/")[0]
            files = self.repositories.get(known)
            if files is None:
                return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            return self.answer(200, {"id": known, "sha": COMMIT, "siblings": [{"rfilename": f} for f in files]})
        if name not in self.repositories:
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        if file not in self.repositories[name]:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        content = self.repositories[name][file]
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        return self.answer(200, content, {"ETag": tag, "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A server of its own with no repository; its address and its handler class."""
    needs("huggingface_hub")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    handler = type("Handler", (StubHub,), {"repositories": {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def folder(tmp_path):
    """A saved model of 90 % zeros, beside a file that nobody should see."""
    model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 2))
    tamis.OneShot(sparsity=0.9, packed=False).attach(model, torch.optim.SGD(model.parameters(), lr=0.1)).finalize()
    save_folder(model, tmp_path / "out")
    (tmp_path / "out" / "secret.txt").write_text("not for others")
    return tmp_path / "out", model


def test_what_goes_up_comes_down(hub, folder, tmp_path):
    (address, server), (source, model) = hub, folder
    url = push_to_hub(source, "ann/digits-sparse", endpoint=address, token="hf_stub")
    assert url == f"{address}/ann/digits-sparse/commit/{COMMIT}"
    assert set(server.repositories["ann/digits-sparse"]) == {MODEL_FILE, "README.md"}

    empty = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 2))
    server.asked.clear()
    found, _ = load_from_hub("ann/digits-sparse", model=empty, endpoint=address, cache=tmp_path / "cache")
    for key, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[key], value)
    assert {line.rpartition("/")[2] for line in server.asked} == {MODEL_FILE}, "nothing else was fetched"


def test_a_repository_or_file_that_does_not_exist_is_named(hub, tmp_path):
    address, server = hub
    with pytest.raises(UsageError, match=r"ann/nothing: model.safetensors was not downloaded"):
        load_from_hub("ann/nothing", endpoint=address, cache=tmp_path)
    server.repositories["ann/empty"] = {}
    with pytest.raises(UsageError, match=r"ann/empty: model.safetensors was not downloaded"):
        load_from_hub("ann/empty", endpoint=address, cache=tmp_path)
    with pytest.raises(UsageError, match="not downloaded"):
        load_from_hub("no/such/name", endpoint=address, cache=tmp_path)


def test_a_hub_that_cannot_be_reached_is_an_error_of_one_line(tmp_path, folder, monkeypatch):
    needs("huggingface_hub")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client waits longer and longer between its tries
    for call in (
        lambda: load_from_hub("ann/digits", endpoint="http://127.0.0.1:9", cache=tmp_path / "cache"),
        lambda: push_to_hub(folder[0], "ann/digits", endpoint="http://127.0.0.1:9", token="hf_stub"),
    ):
        with pytest.raises(UsageError, match="ann/digits") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_foreign_file_from_the_hub_is_refused(hub, tmp_path):
    address, server = hub
    server.repositories["eve/evil"] = {MODEL_FILE: b"\x80\x04cos\nsystem\n"}
    with pytest.raises(FileError, match="eve/evil"):
        load_from_hub("eve/evil", endpoint=address, cache=tmp_path)


def test_a_folder_without_its_files_is_not_uploaded(hub, tmp_path, folder):
    address, server = hub
    with pytest.raises(FileError, match=MODEL_FILE):
        push_to_hub(tmp_path, "ann/empty", endpoint=address, token="hf_stub")
    (folder[0] / "README.md").unlink()
    with pytest.raises(FileError, match=r"README\.md"):
        push_to_hub(folder[0], "ann/empty", endpoint=address, token="hf_stub")
    assert server.repositories == {}


def test_without_its_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"tamis\[hub\]"):
        load_from_hub("ann/digits")
