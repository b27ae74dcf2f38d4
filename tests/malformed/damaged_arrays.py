"""Archives of arrays, pictures and other binary files that must be refused."""

from __future__ import annotations

import zipfile

import numpy as np
from tests.malformed.damage import Folder, Poison, anything, archive, array, bomb, lying, npy, npz, outputs

NAMES = {
    "outputs": ("logits", "ids", "names", "about"),
    "labels": ("labels", "ids", "names"),
    "images": ("x_train", "y_train", "x_test", "y_test"),
}


# Two compressed variables, damaged by the fuzzer, at which SciPy 1.17's reader crashes.
CRASHES_SCIPY = bytes.fromhex(
    "0f00000041000000789ce36360605801c46c40cc01c48c0c10c08ac46782d2dc409c9c93585c1c9f97989b5a0c56c707c406"
    "48fa59b0e8674432572700c84a24535f12900600178507100f00000037000000789ce36360608800623620e600623e060860"
    "85f2198198054a4ad4e42426a5e6143330f000d90a0c08c008a599a03433940600aa750341"
)


def arrays() -> Folder:
    """Files of the readers of arrays and pictures."""
    files = Folder()
    for reader in ("outputs", "labels", "images"):
        files.add(
            reader,
            ".npz",
            **anything(),
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
    files.add(
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
    files.add(
        "picture",
        ".png",
        **anything(),
        cut=b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x7f\xff\xff\xff" * 2 + b"\x08\x02\x00\x00\x00",
        svg=b"<svg onload='x()'/>",
        postscript=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    )
    files.add("message", ".bin", **anything(), objects=npz(terms=np.array([Poison()], object)))
    files.add(
        "mat",
        ".mat",
        **anything(),
        crashes_scipy=b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + b"\x00\x01IM" + CRASHES_SCIPY,
        cut=b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"\x0f\x00\x00\x00\xff\xff\xff\x7f",
    )
    files.add("list", ".txt", binary=b"\xff\xfe")
    files.add("cifar", ".bin", empty=b"", no_whole_record=bytes(3074))
    return files
