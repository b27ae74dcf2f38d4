"""Every reader of files from outside, with small whole files to begin from; shared by tests and by the longer fuzzing.

Readers return something or raise one TamisError; whatever else they do is a fault of tamis.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.malformed import whole, whole_texts

from tamis.audit import Labels, Outputs, Policy, read_report
from tamis.data import load_data
from tamis.errors import FileError, UsageError
from tamis.kernels.choose import Choices
from tamis.methods import DecaySearch, OneShot
from tamis.models import read_foreign_state
from tamis.report import read_run
from tamis.sources import read_table
from tamis.study import cells_of, load_bias_study, load_study, load_sweep
from tamis.study import read_results as read_study
from tamis.study._bias_tables import read_bias_rows
from tamis.study._source_published import read_published
from tamis.train import (
    load_checkpoint,
    load_model,
    load_recipe,
    parse_table,
    read_metrics,
    read_toml,
    restore,
)
from tamis.train._checkpoint import load_method
from tamis.transfer import TransferRecipe, read_sparse_state, read_style
from tamis.transfer import read_results as read_transfers
from tamis.transfer._archives import lines_of, matlab
from tamis.transfer._cifar import cifar10


@dataclass(frozen=True)
class Reader:
    """A reader, the ending of its files, and a function that makes whole ones.

    ``named`` is False where the reader gets bytes or is silent, so that no message can name the file.
    """

    suffix: str
    read: Callable[[Path], Any]
    whole: Callable[[], list[bytes]]
    named: bool = True


def _resume(path: Path) -> Any:
    checkpoint = load_checkpoint(path)
    model, optimizer, sparsifier = whole.one_shot_run()
    if checkpoint.method is not None:
        load_method(checkpoint, OneShot(0.75, packed=True))
    restore(checkpoint, model, optimizer, sparsifier)
    return checkpoint


def _labels(path: Path) -> Any:
    return Labels.load(path), Labels.load_train(path)


def _choices(path: Path) -> Any:
    found = Choices("measure", path)
    found._load()
    return found


def _trials(path: Path) -> Any:
    search = DecaySearch(0.9, start=1e-4)
    search.load(path)
    return search


def _message(path: Path) -> Any:
    from tamis.sources._federated import message_from_bytes

    return message_from_bytes(path.read_bytes())


def _cifar(path: Path) -> Any:
    for number in range(1, 6):
        (path.parent / f"data_batch_{number}.bin").write_bytes(path.read_bytes())
    (path.parent / "test_batch.bin").write_bytes(path.read_bytes())
    (path.parent / "batches.meta.txt").write_text("a\nb\n")
    return cifar10(path.parent)


def _picture(path: Path) -> Any:
    from tamis.data._decode import decode, pillow

    return decode(path, str(path), 3, (8, 8), pillow(str(path)))


def _transfer_recipe(path: Path) -> Any:
    return parse_table(TransferRecipe, read_toml(path), str(path))


def _read_run(name: str, path: Path) -> Any:
    """A run folder that holds the file under the name that it has there."""
    folder = path.parent / f"{path.stem}_run"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(path.read_bytes())
    return read_run(folder)


READERS: dict[str, Reader] = {
    "checkpoint": Reader(".safetensors", _resume, whole.checkpoints),
    "model": Reader(".safetensors", load_model, whole.models),
    "foreign": Reader(".pth", read_foreign_state, whole.foreign),
    "backbone": Reader(".pth", read_sparse_state, whole.foreign),
    "recipe": Reader(".toml", load_recipe, lambda: [whole_texts.RECIPE]),
    "study": Reader(".toml", lambda path: cells_of(load_study(path)), lambda: [whole_texts.STUDY], named=False),
    "sweep": Reader(".toml", load_sweep, lambda: [whole_texts.SWEEP]),
    "bias_study": Reader(".toml", load_bias_study, lambda: [whole_texts.bias_study()]),
    "transfer_recipe": Reader(".toml", _transfer_recipe, lambda: [whole_texts.TRANSFER]),
    "policy": Reader(".toml", Policy.load, lambda: [whole_texts.POLICY]),
    "style": Reader(".toml", read_style, lambda: [whole_texts.STYLE]),
    "outputs": Reader(".npz", Outputs.load, whole.outputs),
    "labels": Reader(".npz", _labels, whole.labels),
    "images": Reader(".npz", load_data, whole.images),
    "picture": Reader(".png", _picture, whole.pictures),
    "table": Reader(".csv", read_table, lambda: [whole.TABLE]),
    "parquet": Reader(".parquet", read_table, whole.parquet),
    "study_results": Reader(".csv", read_study, whole_texts.study_results),
    "bias_rows": Reader(".csv", read_bias_rows, lambda: [whole_texts.BIAS]),
    "published": Reader(".csv", read_published, lambda: [whole_texts.PUBLISHED]),
    "published_gz": Reader(".csv.gz", read_published, lambda: [gzip.compress(whole_texts.PUBLISHED, mtime=0)]),
    "transfers": Reader(".csv", read_transfers, whole_texts.transfer_rows),
    "transfers_jsonl": Reader(".jsonl", read_transfers, whole_texts.json_rows),
    "metrics": Reader(".jsonl", read_metrics, lambda: [whole_texts.METRICS]),
    "run_summary": Reader(".json", partial(_read_run, "summary.json"), lambda: [whole_texts.SUMMARY], named=False),
    "run_metrics": Reader(".jsonl", partial(_read_run, "metrics.jsonl"), lambda: [whole_texts.METRICS], named=False),
    "audit_report": Reader(".json", read_report, whole_texts.audit_report),
    "choices": Reader(".json", _choices, whole_texts.choices_file, named=False),
    "trials": Reader(".json", _trials, whole_texts.trials),
    "message": Reader(".bin", _message, whole.message, named=False),
    "mat": Reader(".mat", matlab, whole.mat),
    "list": Reader(".txt", lines_of, lambda: [b"a 1\nb 2\n"]),
    "cifar": Reader(".bin", _cifar, lambda: [bytes(2 * 3073)], named=False),
}


def outcome(reader: Reader, path: Path) -> str:
    """The message with which a file is refused, empty if it is read; every other exception passes.

    Raises AssertionError where the message is not one sentence that names the file.
    """
    try:
        reader.read(path)
    except (FileError, UsageError) as error:
        text = str(error)
        assert "\n" not in text, text
        assert len(text) < 1200, f"{len(text)} characters: {text[:200]}"
        assert "Traceback" not in text
        assert not reader.named or path.name in text, text
        return text
    return ""
