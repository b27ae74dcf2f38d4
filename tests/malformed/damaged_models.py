"""Checkpoints, exported models and foreign state dicts that must be refused."""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
from tests.malformed.damage import Folder, anything, archive, packed, poison, safetensors_file, tensors


def models() -> Folder:
    """Files of the readers ``checkpoint``, ``model``, ``foreign`` and ``backbone``."""
    files = Folder()
    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    files.add(
        "checkpoint",
        ".safetensors",
        **anything(),
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
    files.add(
        "model",
        ".safetensors",
        **anything(),
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
        files.add(
            reader,
            ".pth",
            **anything(),
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
    return files


def _wrong_sha256() -> bytes:
    header = json.dumps({"format_version": 1, "shapes": {}, "method": "x", "sparsity": 0.0, "recipe": ""})
    entries = {"__metadata__": {"tamis": header, "tamis_sha256": "0" * 64}}
    return safetensors_file({**entries, "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"1234")
