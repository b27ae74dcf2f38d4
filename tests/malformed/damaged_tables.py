"""Tables, results and reports that must be refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from tests.malformed.damage import Folder, anything, poison

ROW = "arch,kind,method,sparsity,task,seed,value\n"


def tables() -> Folder:
    """Files of the readers of CSV, Parquet and JSON."""
    files = Folder()
    files.add(
        "table",
        ".csv",
        empty="",
        no_rows="a,b\n",
        ragged="a,b\n1\n",
        too_long="a\n" + "x" * 140_000 + "\n",
        open_quote='a\n"1\n',
        twice="a,a\n1,2\n",
        not_utf8=b"a\n\xff\n",
        pickle=poison(),
    )
    files.add(
        "parquet",
        ".parquet",
        **anything(),
        magic_only=b"PAR1PAR1",
        footer_lies=b"PAR1" + b"\x00" * 8 + b"\xff\xff\xff\x7fPAR1",
        **_parquet(),
    )
    table: dict[str, bytes | str] = {
        "empty": "",
        "other_columns": "a,b\n1,2\n",
        "not_utf8": b"a\n\xff\n",
        "open_quote": '"a\n',
        "pickle": poison(),
    }
    for reader in ("study_results", "bias_rows", "published", "transfers"):
        files.add(reader, ".csv", **table)
    files.add(
        "transfers",
        ".csv",
        cut_short=ROW + "net,linear,a,0.8,t,1,0.5\nnet,linear,a,0.9,t,1\n",
        no_number=ROW + "n,l,a,x,t,1,0.5\n",
        too_many=ROW + "n,l,a,0,t,1,0.5,9\n",
        carriage_return=ROW + "n,l,a,0,t\r,1,0.5\n",
        twice=ROW[:-1] + ",arch\n",
    )
    files.add(
        "transfers_jsonl",
        ".jsonl",
        text="x\n",
        a_list="[1]\n",
        deep="[" * 3000 + "\n",
        infinite='{"epoch": 1e999}\n',
        huge_number='{"sparsity": ' + "9" * 400 + "}\n",
        no_columns="{}\n",
        not_utf8=b"\xff\n",
    )
    files.add("bias_rows", ".csv", no_number="setup,subject,accuracy\njoint,,x\n", no_rows="setup,subject\n")
    gz = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    files.add(
        "published_gz",
        ".csv.gz",
        no_gzip=b"text",
        cut=gz,
        garbage=gz + b"\x00" * 40,
        garbage_inside=gz + bytes(range(7, 90)),
    )
    for reader in ("metrics", "run_metrics"):
        files.add(
            reader,
            ".jsonl",
            text="x\n",
            a_list="[1]\n",
            deep="[" * 3000 + "\n",
            huge_number='{"kind": ' + "9" * 400 + "}\n",
        )
    files.add("run_metrics", ".jsonl", no_kind="{}\n", step_of_text='{"kind": "epoch", "step": "x"}\n')
    for reader in ("run_summary", "audit_report", "trials"):
        files.add(reader, ".json", empty="", text="x", a_list="[1]", deep="[" * 3000, not_utf8=b"\xff", pickle=poison())
    files.add("run_summary", ".json", accuracy_of_text='{"accuracy_dense": "x"}', layers_a_number='{"layers": 5}')
    files.add("audit_report", ".json", other_schema='{"schema": "x"}', empty_object="{}")
    files.add(
        "trials",
        ".json",
        empty_object="{}",
        other_target='{"sparsity": 0.5, "trials": []}',
        negative='{"sparsity": 0.9, "trials": [{"decay": -1, "sparsity": 0.5}]}',
        infinite='{"sparsity": 0.9, "trials": [{"decay": 1e999, "sparsity": 0.5}]}',
    )
    return files


def _parquet() -> dict[str, bytes]:
    """Files of a few kilobytes that stand for gigabytes, one that once ran a pickle, and one with damaged notes."""
    import pyarrow as pa
    from pyarrow import parquet

    def written(table: Any) -> bytes:
        stream = io.BytesIO()
        parquet.write_table(table, stream, compression="zstd")
        return stream.getvalue()

    rows = pa.table(
        {"source": pa.DictionaryArray.from_arrays(pa.array(np.zeros(30_000_000, np.int8)), pa.array(["a"]))}
    )
    texts = pa.array(["x" * 1_000_000])
    long = pa.table({"source": pa.DictionaryArray.from_arrays(pa.array(np.zeros(3000, np.int32)), texts)})
    kind = b"arrow.py_extension_type"
    field = pa.field(
        "source", pa.int64(), metadata={b"ARROW:extension:name": kind, b"ARROW:extension:metadata": poison()}
    )
    empty = pa.table({"source": pa.array([], pa.string())})
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pickled = pa.table([pa.array([1, 2])], schema=pa.schema([field]))
    return {
        "thirty_million_rows": written(rows), "three_gigabytes_of_text": written(long), "no_rows": written(empty),
        "twice": written(twice), "pickled_type_and_cut": written(pickled)[:-9],
    }  # fmt: skip
