"""Makes the folder of malformed files: python -m tests.malformed.make

Each lies under files/READER/ and must be refused by that reader.  They are small, and made by this script alone.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FILES = Path(__file__).parent / "files"
MARK = "executed_by_a_pickle"


class Poison:
    """Its pickle makes a file in the working folder of whoever loads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (MARK, "w"))


def poison() -> bytes:
    """A pickle that does something when it is loaded."""
    return pickle.dumps({"state_dict": {"conv1.weight": Poison()}}, protocol=2)


def safetensors_file(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensors(header: str | None, **arrays: np.ndarray) -> bytes:
    """A safetensors file with these arrays and this text under the key ``tamis``."""
    kinds = {"float32": "F32", "int32": "I32", "int64": "I64", "uint8": "U8"}
    entries: dict[str, Any] = {} if header is None else {"__metadata__": {"tamis": header}}
    data = b""
    for name, array in arrays.items():
        start, data = len(data), data + array.tobytes()
        name = name.replace("__", ".")
        entries[name] = {
            "dtype": kinds[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, len(data)],
        }
    return safetensors_file(entries, data)


def packed(shapes: Any, row_ptr: Any = (0, 1), indices: Any = (0,), values: Any = (1.0,), **more: Any) -> bytes:
    """A checkpoint with one packed layer ``w``."""
    header = {"format_version": 1, "method": "x", "sparsity": 0.5, "recipe": "", "shapes": shapes, **more}
    return tensors(
        json.dumps(header),
        w__values=np.array(values, np.float32),
        w__indices=np.array(indices, np.int32),
        w__row_ptr=np.array(row_ptr, np.int64),
    )


def archive(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as found:
        for name, content in members.items():
            found.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def array(value: Any) -> bytes:
    """An .npy file; objects are pickled."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(value), allow_pickle=True)
    return stream.getvalue()


def npz(method: int = zipfile.ZIP_STORED, **arrays: Any) -> bytes:
    """An .npz file of arrays, or of ready members as bytes."""
    return archive({f"{name}.npy": v if isinstance(v, bytes) else array(v) for name, v in arrays.items()}, method)


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An .npy file with any header."""
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


def outputs(about: Any = None, method: int = zipfile.ZIP_STORED, **changed: Any) -> bytes:
    """An .npz of outputs with something wrong in it."""
    told = {"format": "tamis.outputs/1", "model": "m", "method": "gmp", "level": 0.5, "axis": "sparsity", "seed": 0,
            "dense_seed": None, "task": "multilabel", "meta": {}}  # fmt: skip
    text = about if isinstance(about, str) else json.dumps({**told, **(about or {})})
    whole = {"logits": np.zeros((2, 1), np.float32), "ids": np.array(["a", "b"]), "names": np.array(["x"])}
    return npz(method, **{**whole, "about": np.array(text), **changed})


def bomb(side: int) -> bytes:
    """Zeros, which pack into next to nothing."""
    return npy(lying("<f4", f"({side}, {side})"), bytes(4 * side * side))


def lying(kind: str, shape: str) -> str:
    """What the header of an .npy file says."""
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


ROW = "arch,kind,method,sparsity,task,seed,value\n"
STUDY = 'base = "digits_resnet8"\nmethods = ["gmp"]\n'


def malformed() -> dict[str, bytes]:
    """Content by place in the folder."""
    files: dict[str, bytes] = {}

    def add(reader: str, ending: str, **contents: bytes | str) -> None:
        for name, content in contents.items():
            data = content.encode("utf-8") if isinstance(content, str) else content
            files[f"{reader}/{name}{ending}"] = data

    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    anything = {
        "empty": b"",
        "seven_bytes": b"1234567",
        "text": b"this is no such file, but long enough for a header",
        "pickle": poison(),
        "zip_with_pickle": archive({"archive/data.pkl": poison(), "archive/version": b"3"}),
    }
    add(
        "checkpoint",
        ".safetensors",
        **anything,
        giant_header=b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
        header_of_garbage=safetensors_file(b"{" + b"x" * 19),
        header_lies=safetensors_file({"w": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}),
        header_deep=safetensors_file(b"{" + b'"a":{' * 5000),
        negative_shape=safetensors_file({"w": {**one, "shape": [-1]}}, b"1234"),
        huge_shape=safetensors_file({"w": {**one, "shape": [2**62, 2**62]}}, b"1234"),
        unknown_dtype=safetensors_file({"w": {**one, "dtype": "PICKLE"}}, b"1234"),
        overlapping=safetensors_file({"w": one, "v": one}, b"1234"),
        not_by_tamis=tensors(None, w=np.ones(2, np.float32)),
        own_header_no_json=tensors("{"),
        own_header_a_list=tensors("[1]"),
        own_header_empty=tensors("{}"),
        own_header_deep=tensors("[" * 3000),
        own_header_huge_number=tensors('{"format_version": ' + "9" * 400 + "}"),
        another_version=tensors('{"format_version": 99}'),
        unpacks_to_8_gigabytes=packed({"w": [1, 2**31 - 1]}),
        unpacks_to_1_gigabyte=packed({"w": [1, 2**28]}),
        infinite_shape=packed({"w": [1, float("inf")]}),
        shape_of_text=packed({"w": "ab"}),
        shapes_a_list=packed([1]),
        no_shapes=packed(None),
        index_out_of_range=packed({"w": [1, 2]}, indices=(7,)),
        index_negative=packed({"w": [1, 2]}, indices=(-1,)),
        rows_fall=packed({"w": [2, 2]}, row_ptr=(0, 2, 1)),
        values_too_short=packed({"w": [1, 2]}, values=()),
        missing_arrays=packed({"v": [1, 2]}),
        recipe_only=packed({"w": [1, 2]}, optimizer=5, random={}),
        no_run=packed({"w": [1, 2]}),
        wrong_sha256=_wrong_sha256(),
    )
    add(
        "model",
        ".safetensors",
        **anything,
        no_architecture=packed({"w": [1, 2]}),
        architecture_of_text=packed({"w": [1, 2]}, architecture="resnet"),
        unknown_architecture=packed({"w": [1, 2]}, architecture={"name": "x", "num_classes": 2, "in_channels": 1}),
        gigantic_architecture=packed(
            {"w": [1, 2]},
            architecture={
                "name": "mlp.plain",
                "num_classes": 2,
                "in_channels": 1,
                "image_size": [4, 4],
                "hidden": [10**9],
            },
        ),
    )
    for reader in ("foreign", "backbone"):
        add(
            reader,
            ".pth",
            **anything,
            recursive_pickle=b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01h\x00s.",
            deep_pickle=b"\x80\x02" + b"]" * 3000 + b".",
            names_a_module=b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00trueq\x00\x85R.",
            a_list=pickle.dumps([1, 2], protocol=2),
            zip_bomb=archive({"archive/data.pkl": bytes(20_000_000)}, zipfile.ZIP_DEFLATED),
            zip_without_pickle=archive({"archive/version": b"3\n"}),
            zip_cut=archive({"archive/data.pkl": poison()})[:-30],
            tar=b"archive/data.pkl".ljust(257, b"\x00") + b"ustar\x0000" + bytes(500),
            no_tensors=safetensors_file({}),
            not_finite_header=safetensors_file({"w": {**one, "shape": [1.5]}}, b"1234"),
        )
    toml: dict[str, bytes | str] = {
        "binary": b"\xff\xfe\x00",
        "no_toml": "a = ",
        "deep": "a = " + "[" * 3000,
        "huge_number": "a = " + "9" * 4400,
        "large_number": "name = " + "9" * 400,
        "twice": "a = 1\na = 2",
        "unknown_key": "nam = 1",
        "deep_table": "a." * 300 + "b = 1",
        "pickle": poison(),
        "long_key": "x" * 3000 + " = 1",
        "long_value": f"name = '{'x' * 3000}'",
    }
    for reader in ("recipe", "study", "sweep", "bias_study", "transfer_recipe", "policy", "style"):
        add(reader, ".toml", **toml)
    add(
        "recipe",
        ".toml",
        outside='name = "../../etc"',
        percent='method = "gmp"\nsparsity = 90',
        wrong_type="sparsity = '0.9'",
        negative="[train]\nepochs = -1",
        infinite="[optimizer]\nlr = inf",
        not_a_number="[optimizer]\nlr = nan",
        date="name = 1999-01-01",
        a_list="name = []",
        table_for_a_number="[sparsity]\na = 1",
    )
    add(
        "study",
        ".toml",
        empty="",
        base_of_4000_letters=f'base = "{"x" * 4000}"\nmethods = ["gmp"]',
        base_with_a_zero='base = "a\\u0000b"\nmethods = ["gmp"]',
        deep_cells=STUDY + "[cells.gmp" + ".a" * 300 + "]",
        unknown_method='base = "digits_resnet8"\nmethods = ["<b>"]',
    )
    add(
        "sweep",
        ".toml",
        empty="",
        format_attack='tasks = ["a"]\nmethods = ["gmp"]\npath = "{method.__class__}"',
        format_width='tasks = ["a"]\nmethods = ["gmp"]\npath = "{method:>99999999999}"',
    )
    add(
        "policy",
        ".toml",
        empty="",
        rule_of_text="rule = 'x'",
        rule_without_limit='[[rule]]\nmetric = "ba_change"',
        metric_a_list="[[rule]]\nmetric = []\nmax = 1",
        infinite='[[rule]]\nmetric = "ba_change"\nmax = inf',
    )
    add(
        "style",
        ".toml",
        empty="",
        no_rules='name = "a"\nsigns = ["b"]',
        bad_expression='name = "a"\nsigns = ["("]\nrules = []',
        rule_without_name='name = "a"\nsigns = ["b"]\n[[rules]]\npattern = "x"',
    )
    for reader in ("outputs", "labels", "images"):
        add(
            reader,
            ".npz",
            **anything,
            member_missing=archive({"x.npy": array(1)}),
            cut=outputs()[:-40],
            no_zip_inside=archive({f"{n}.npy": b"x" for n in NAMES[reader]}),
            objects=npz(**{n: np.array([Poison()], object) for n in NAMES[reader]}),
            code_for_a_header=npz(**{n: npy("__import__('os').system('true')") for n in NAMES[reader]}),
            shape_lies=npz(**{n: npy(lying("<f8", "(99999999999,)")) for n in NAMES[reader]}),
            negative_shape=npz(**{n: npy(lying("<f8", "(-1,)"), b"12345678") for n in NAMES[reader]}),
            zero_wide=npz(**{n: npy(lying("|V0", "(999999999999,)")) for n in NAMES[reader]}),
            future_version=npz(**{n: npy("{}", version=b"\x09\x00") for n in NAMES[reader]}),
            bomb=npz(
                zipfile.ZIP_DEFLATED, **{n: bomb(4500) if n == NAMES[reader][0] else array(1) for n in NAMES[reader]}
            ),
        )
    add(
        "outputs",
        ".npz",
        not_a_number=outputs(logits=np.array([[np.nan], [0.0]])),
        ids_twice=outputs(ids=np.array(["a", "a"])),
        too_few_names=outputs(names=np.array([])),
        complex=outputs(logits=np.array([[1j], [1j]])),
        about_no_json=outputs("{"),
        about_deep=outputs("[" * 3000),
        about_of_another=outputs({"format": "x"}),
        infinite_seed=outputs('{"format": "tamis.outputs/1", "seed": 1e999}'),
        level_of_text=outputs({"level": "a"}),
        huge_level=outputs('{"format": "tamis.outputs/1", "level": ' + "9" * 400 + "}"),
        meta_a_list=outputs({"meta": [1]}),
        unknown_axis=outputs({"axis": "<script>"}),
        infinite_logits=outputs(logits=np.array([[np.inf], [0.0]])),
    )
    add(
        "picture",
        ".png",
        **anything,
        cut=b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x7f\xff\xff\xff" * 2 + b"\x08\x02\x00\x00\x00",
        svg=b"<svg onload='x()'/>",
        postscript=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    )
    add(
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
    add(
        "parquet",
        ".parquet",
        **anything,
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
        add(reader, ".csv", **table)
    add(
        "transfers",
        ".csv",
        cut_short=ROW + "net,linear,a,0.8,t,1,0.5\nnet,linear,a,0.9,t,1\n",
        no_number=ROW + "n,l,a,x,t,1,0.5\n",
        too_many=ROW + "n,l,a,0,t,1,0.5,9\n",
        carriage_return=ROW + "n,l,a,0,t\r,1,0.5\n",
        twice=ROW[:-1] + ",arch\n",
    )
    add(
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
    add("bias_rows", ".csv", no_number="setup,subject,accuracy\njoint,,x\n", no_rows="setup,subject\n")
    gz = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    add(
        "published_gz",
        ".csv.gz",
        no_gzip=b"text",
        cut=gz,
        garbage=gz + b"\x00" * 40,
        garbage_inside=gz + bytes(range(7, 90)),
    )
    for reader in ("metrics", "run_metrics"):
        add(
            reader,
            ".jsonl",
            text="x\n",
            a_list="[1]\n",
            deep="[" * 3000 + "\n",
            huge_number='{"kind": ' + "9" * 400 + "}\n",
        )
    add("run_metrics", ".jsonl", no_kind="{}\n", step_of_text='{"kind": "epoch", "step": "x"}\n')
    for reader in ("run_summary", "audit_report", "trials"):
        add(reader, ".json", empty="", text="x", a_list="[1]", deep="[" * 3000, not_utf8=b"\xff", pickle=poison())
    add("run_summary", ".json", accuracy_of_text='{"accuracy_dense": "x"}', layers_a_number='{"layers": 5}')
    add("audit_report", ".json", other_schema='{"schema": "x"}', empty_object="{}")
    add(
        "trials",
        ".json",
        empty_object="{}",
        other_target='{"sparsity": 0.5, "trials": []}',
        negative='{"sparsity": 0.9, "trials": [{"decay": -1, "sparsity": 0.5}]}',
        infinite='{"sparsity": 0.9, "trials": [{"decay": 1e999, "sparsity": 0.5}]}',
    )
    add("message", ".bin", **anything, objects=npz(terms=np.array([Poison()], object)))
    add(
        "mat",
        ".mat",
        **anything,
        cut=b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"\x0f\x00\x00\x00\xff\xff\xff\x7f",
    )
    add("list", ".txt", binary=b"\xff\xfe")
    add("cifar", ".bin", empty=b"", no_whole_record=bytes(3074))
    return files


NAMES = {
    "outputs": ("logits", "ids", "names", "about"),
    "labels": ("labels", "ids", "names"),
    "images": ("x_train", "y_train", "x_test", "y_test"),
}


def _wrong_sha256() -> bytes:
    header = json.dumps({"format_version": 1, "shapes": {}, "method": "x", "sparsity": 0.0, "recipe": ""})
    entries = {"__metadata__": {"tamis": header, "tamis_sha256": "0" * 64}}
    return safetensors_file({**entries, "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"1234")


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


def main() -> None:
    """Write the folder anew."""
    shutil.rmtree(FILES, ignore_errors=True)
    for place, content in malformed().items():
        (FILES / place).parent.mkdir(parents=True, exist_ok=True)
        (FILES / place).write_bytes(content)


if __name__ == "__main__":
    main()
