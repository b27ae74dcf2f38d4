"""The Hugging Face Hub: a folder up, one safetensors file down."""

from __future__ import annotations

import contextlib
import importlib
import os
from pathlib import Path
from typing import Any

from torch import nn

from tamis.errors import FileError, UsageError
from tamis.interop._folder import CARD_FILE, MODEL_FILE, check_folder, load_folder


def push_to_hub(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    message: str = "A sparse model",
) -> str:
    """Upload the folder that :func:`~tamis.interop.save_folder` wrote, in one commit; returns the commit's address.

    Only ``model.safetensors`` and ``README.md`` are uploaded, whatever else lies there.

    Args:
        folder: holds both files; the model file is read and checked first.
        repo_id: ``"owner/name"``; the repository is made if it does not exist.
        private: visibility of a new repository; None leaves it to the Hub's default.
        token: access token; None takes the one that ``hf auth login`` stored.
        endpoint: address of another Hub.
        message: of the commit.

    Raises:
        FileError: a file is missing or damaged.
        UsageError: huggingface_hub is missing, ``repo_id`` is malformed, or the Hub refused or could not be reached.
    """
    hub = _hub()
    source = check_folder(folder)
    try:
        api = hub.HfApi(endpoint=endpoint, token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=str(source),
            allow_patterns=[MODEL_FILE, CARD_FILE],
            commit_message=message,
        )
    except _failures(hub) as error:
        raise UsageError(f"{repo_id}: not uploaded, {_reason(error)}") from error
    return str(commit.commit_url)


def load_from_hub(
    repo_id: str,
    *,
    model: nn.Module | None = None,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """Download ``model.safetensors`` of a repository and load it as :func:`~tamis.interop.load_folder` does.

    No other file is fetched and nothing is unpickled or executed.

    Args:
        repo_id: ``"owner/name"``.
        model: a network of the same names and shapes, filled in place; None rebuilds the one that the file names.
        revision: branch, tag or commit; a full commit hash makes the download reproducible.
        token: access token for private repositories.
        endpoint: address of another Hub.
        cache: folder for downloads; None takes huggingface_hub's own.

    Raises:
        FileError: the file is no model that tamis wrote, names no network, or does not fit ``model``.
        UsageError: huggingface_hub is missing, ``repo_id`` is malformed, or the Hub has no such file or could not be
            reached.
    """
    hub = _hub()
    try:
        path = hub.hf_hub_download(
            repo_id, MODEL_FILE, revision=revision, token=token, endpoint=endpoint, cache_dir=cache
        )
    except _failures(hub) as error:
        raise UsageError(f"{repo_id}: {MODEL_FILE} was not downloaded, {_reason(error)}") from error
    try:
        return load_folder(Path(path).parent, model)
    except FileError as error:
        raise FileError(f"{repo_id}: {error}") from error


def _hub() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise UsageError("the Hub needs the package huggingface_hub: pip install 'tamis[hub]'") from error


def _failures(hub: Any) -> tuple[type[Exception], ...]:
    """What huggingface_hub raises for malformed names, refusals, missing files and a network that fails."""
    known: list[type[Exception]] = [OSError, ValueError, hub.errors.HfHubHTTPError]
    for client in ("httpx", "httpx2"):  # its HTTP client has had several names
        with contextlib.suppress(ImportError):
            known.append(importlib.import_module(client).HTTPError)
    return tuple(known)


def _reason(error: Exception) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
