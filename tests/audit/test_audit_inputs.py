"""Hostile and unfit inputs: refused with one clear sentence, or handled."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from tests.audit.worlds import world

import tamis
from tamis.audit import AuditReport, Labels, Outputs, escape_csv
from tamis.audit._names import display
from tamis.errors import FileError, UsageError

HOSTILE = "</script><img src=x onerror=alert(1)>|\u202e`{{7*7}}"


def outputs(**more):
    given = {"logits": np.zeros((3, 2), np.float32), "ids": ["a", "b", "c"], "names": ("x", "y")} | more
    return Outputs(**given)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"logits": np.array([[0, np.nan]] * 3)}, r"logits\[0, 1\] is nan; expected finite"),
        ({"logits": np.array([[0, np.inf]] * 3)}, "is inf; expected finite"),
        ({"logits": np.zeros(3)}, "expected \\(samples, attributes\\)"),
        ({"logits": np.zeros((3, 2), complex)}, "dtype complex128; expected float"),
        ({"logits": np.zeros((0, 2))}, "neither of them 0"),
        ({"ids": ["a", "b", "a"]}, "id 'a' stands on more than one row"),
        ({"ids": ["a", "b"]}, "expected one id for each of 3 rows"),
        ({"ids": [0.5, 1.5, 2.5]}, "expected text or whole numbers"),
        ({"names": ("x",)}, "1 names for 2 columns"),
        ({"names": ("x", "x")}, "'x' stands for more than one column"),
        ({"names": ("x", "")}, "expected 1 to 10240"),
        ({"level": 1.0}, "share of zeros in \\[0, 1\\)"),
        ({"level": 90}, "share of zeros"),
        ({"axis": "bits", "level": 128}, "bits from 0 to 64"),
        ({"axis": "depth"}, "expected 'sparsity' or 'bits'"),
        ({"task": "ranking"}, "expected 'multilabel' or 'multiclass'"),
        ({"task": "multiclass", "logits": np.zeros((3, 1)), "names": ("x",)}, "at least two classes"),
    ],
)
def test_outputs_that_make_no_sense_are_refused(wrong, says):
    with pytest.raises(UsageError, match=says):
        outputs(**wrong)


def test_half_precision_is_widened_and_whole_numbers_are_logits_too():
    assert outputs(logits=np.zeros((3, 2), np.float16)).logits.dtype == np.float32
    assert outputs(logits=np.zeros((3, 2), np.int64)).logits.dtype == np.float64


def test_outputs_come_back_from_their_file(tmp_path):
    made = outputs(
        names=(HOSTILE, "y"), model="m", method="gmp", level=0.9, seed=3, dense_seed=1, meta={"recipe": {"lr": 0.1}}
    )
    found = Outputs.load(made.save(tmp_path / "o.npz"))
    assert found.names == made.names
    assert (found.logits == made.logits).all()
    assert (found.level, found.seed, found.dense_seed, found.meta) == (0.9, 3, 1, made.meta)
    assert found.digest == made.digest
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        outputs(meta={"a": {1, 2}}).save(tmp_path / "p.npz")


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([[True], [False]], [1, 0]),
        ([[1], [-1]], [1, 0]),
        ([[1.0], [np.nan]], [1, 255]),
        ([[255], [0]], [255, 0]),
        ([1, 0], [1, 0]),
    ],
)
def test_labels_are_read_in_every_usual_spelling(values, wanted):
    assert Labels(np.array(values), None, ("a",)).values[:, 0].tolist() == wanted


def test_labels_that_make_no_sense_are_refused():
    for values, says in (
        ([[2], [0]], "hold the value 2"),
        ([[-1], [0]], "both 0 and -1"),
        ([["a"], ["b"]], "expected 0 and 1"),
    ):
        with pytest.raises(UsageError, match=says):
            Labels(np.array(values), None, ("a",))
    with pytest.raises(UsageError, match="expected one number or text for each row"):
        Labels(np.array([1, 0]), None, ("a",), cluster=np.array([1]))
    with pytest.raises(UsageError, match="no label column 'b'; there are a"):
        Labels(np.array([1, 0]), None, ("a",)).columns(("b",))


def test_classes_become_columns_and_come_back_with_train_and_clusters(tmp_path):
    made = Labels.from_classes(np.array([0, 2, 1]), ["a", "b", "c"], ("x", "y", "z"), np.array(["p", "p", "q"]))
    assert made.values.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    train = Labels(np.eye(3), None, ("x", "y", "z"))
    path = made.save(tmp_path / "l.npz", train)
    assert Labels.load(path).cluster.tolist() == [0, 0, 1]
    assert Labels.load_train(path).values.tolist() == np.eye(3).tolist()
    np.savez(tmp_path / "c.npz", labels=np.array([2, 0]), ids=np.arange(2), names=np.array(["x", "y", "z"]))
    assert Labels.load(tmp_path / "c.npz").values.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert Labels.load_train(tmp_path / "c.npz") is None
    with pytest.raises(UsageError, match="expected numbers 0 to 1"):
        Labels.from_classes(np.array([0, 2]), None, ("x", "y"))


def test_damaged_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "bad.npz"
    with pytest.raises(FileError, match=r"bad\.npz: no such file"):
        Outputs.load(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(FileError, match=r"bad\.npz: found a damaged or foreign file"):
        Labels.load(path)
    np.savez(path, logits=np.zeros((1, 1)), ids=np.arange(1), names=np.array(["a"]), about=np.array("{}"))
    with pytest.raises(FileError, match=r"found no mark 'tamis.outputs/1'"):
        Outputs.load(path)
    np.savez(path, logits=np.zeros((1, 1)), ids=np.arange(1), names=np.array(["a"]), about=np.array("{"))
    with pytest.raises(FileError, match=r"bad\.npz"):
        Outputs.load(path)
    deep = np.array("[" * 100_000)  # nested beyond what Python's parser follows
    np.savez(path, logits=np.zeros((1, 1)), ids=np.arange(1), names=np.array(["a"]), about=deep)
    with pytest.raises(FileError, match=r"bad\.npz: about: is not valid JSON"):
        Outputs.load(path)
    outputs().save(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FileError, match=r"bad\.npz"):
        Outputs.load(path)
    np.savez(path, labels=np.array([object()], dtype=object), ids=np.arange(1), names=np.array(["a"]))
    with pytest.raises(FileError, match="pickled objects"):
        Labels.load(path)


def test_a_zip_bomb_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "bomb.npz"
    outputs().save(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (72 << 16, 4)})
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if name != "logits.npy"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("logits.npy", "w", force_zip64=True) as stream:
            stream.write(header.getvalue())
            for _ in range(72):
                stream.write(bytes(1 << 20))
        for name, content in parts.items():
            archive.writestr(name, content)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(FileError, match=r"would unpack from .* expected a factor of at most 50"):
        Outputs.load(path)


def test_files_beyond_the_limit_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tamis.audit._outputs.MAX_BYTES", 100)
    with pytest.raises(FileError, match="expected a smaller data set"):
        Outputs.load(outputs().save(tmp_path / "o.npz"))


def audited(**more):
    return tamis.audit(**world(n=200, seeds=1, levels=(0.98,)) | more)


def test_rows_that_do_not_match_are_refused():
    given = world(n=200, seeds=1, levels=(0.98,))
    model = given["compressed"][0]
    less = replace(model, logits=model.logits[:150], ids=model.ids[:150])
    with pytest.raises(UsageError, match="50 of 200 labelled samples are missing, such as id 'img00150'"):
        audited(compressed=[less])
    ids = model.ids.copy()
    ids[7] = "stranger"
    with pytest.raises(UsageError, match="1 of 200 labelled samples are missing, such as id 'img00007'"):
        audited(compressed=[replace(model, ids=ids)])
    with pytest.raises(UsageError, match="ids are whole numbers, those of the labels text"):
        audited(compressed=[replace(model, ids=np.arange(200))])
    labels = given["labels"]
    fewer = Labels(labels.values[:100], labels.ids[:100], labels.names)
    with pytest.raises(UsageError, match="100 of 200 samples have no labels"):
        audited(labels=fewer)


def test_a_groups_column_that_contradicts_the_labels_is_refused_and_an_equal_one_is_taken():
    given = world(n=200, seeds=1, levels=(0.98,))
    labels, train = given["labels"], given["train_labels"]
    wanted = tamis.audit(**given | {"groups": ("Male",)}).content["pairs"]
    male, of_train = labels.columns(("Male",)), train.columns(("Male",))
    turned = Labels(male.values[::-1], male.ids[::-1], male.names)
    assert tamis.audit(**given | {"groups": turned, "train_groups": of_train}).content["pairs"] == wanted
    flipped = male.values.copy()
    flipped[:7] ^= 1
    with pytest.raises(UsageError, match=r"groups: column 'Male' is among the labels too, .* in 7 of 200 rows; rename"):
        tamis.audit(**given | {"groups": Labels(flipped, male.ids, male.names)})
    unknown = of_train.values.copy()
    unknown[0] = 255
    with pytest.raises(UsageError, match=r"training groups: column 'Male' .* in 1 of 800 rows"):
        tamis.audit(**given | {"groups": male, "train_groups": Labels(unknown, of_train.ids, male.names)})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"groups": ()}, "at least one group"),
        ({"groups": ("Alien",)}, "labels: no label column 'Alien'"),
        ({"attributes": ("Alien",)}, "no label column 'Alien'"),
        ({"dense": []}, "dense: expected a list of at least one"),
        ({"min_gap": "much"}, "expected a fraction such as '1/10'"),
        ({"min_gap": "2"}, "fraction in \\[0, 1\\)"),
        ({"n_boot": 5}, "n_boot=5; expected a whole number of at least 100"),
        ({"ci": 1.5}, "expected a level in"),
        ({"uncertainty": 0.7}, "half-width in"),
        ({"support": "some"}, "expected 'common' or 'each'"),
        ({"thresholds": "best"}, "expected 'zero', 'calibrated'"),
        ({"thresholds": "calibrated"}, "need validation outputs"),
        ({"thresholds": {"Hat": 0.5}}, "none is given for 'Smiling'"),
        ({"intersections": [("Male", "Alien")]}, "intersection of 'Alien', which is no identity"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(wrong, says):
    with pytest.raises(UsageError, match=says):
        audited(**wrong)


def test_one_seed_twice_or_one_object_twice_is_refused():
    given = world(n=200, seeds=2, levels=(0.98,))
    same = [replace(model, seed=0) for model in given["compressed"]]
    with pytest.raises(UsageError, match="two models have seed 0"):
        tamis.audit(**given | {"compressed": same})
    with pytest.raises(UsageError, match="given twice"):
        tamis.audit(**given | {"compressed": given["dense"]})


def test_validation_outputs_of_every_model_are_needed():
    given = world(n=200, seeds=2, levels=(0.98,), valid=True)
    given["valid"] = replace(given["valid"], outputs=given["valid"].outputs[:-1])
    with pytest.raises(UsageError, match="seed 1 has no validation outputs"):
        tamis.audit(**given, thresholds="calibrated")


def renamed(report_of, names: dict[str, str]) -> AuditReport:
    given = world(n=200, seeds=1, levels=(0.98,))
    turn = lambda old: tuple(names.get(name, name) for name in old)  # noqa: E731
    labels, train = (replace(given[key], names=turn(given[key].names)) for key in ("labels", "train_labels"))
    models = {k: [replace(m, names=turn(m.names)) for m in given[k]] for k in ("dense", "compressed")}
    wanted = {"groups": turn(given["groups"]), "attributes": turn(given["attributes"])}
    return report_of(**given | models | wanted | {"labels": labels, "train_labels": train})


def test_markup_in_names_stays_text_in_every_output():
    long = "x" * 10_000
    report = renamed(tamis.audit, {"Hat": HOSTILE, "Male": "=cmd|calc", "Rare": long, "Smiling": "\ud800lone"})
    text = report.with_policy(tamis.audit.DEFAULT_POLICY).to_markdown()
    assert "<img" not in text
    assert "</script" not in text
    assert "\u202e" not in text
    assert long not in text
    assert json.loads(report.to_json())["attributes"][1] == HOSTILE
    queue = report.review_queue(limit=5)
    assert queue.splitlines()[0].endswith("'=cmd|calc,Young")
    xml = tamis.audit.junit(report.with_policy(tamis.audit.DEFAULT_POLICY).content)
    assert "<img" not in xml


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_cell_begins_a_formula(name):
    assert escape_csv(name) == f"'{name}"


def test_names_for_people_lose_what_reorders_or_hides():
    assert display("a\u202eb\x00c\u200bd") == "abcd"
    assert display("x" * 200).endswith("…")


def test_missing_labels_are_left_out_pair_by_pair_and_counted():
    given = world(n=300, seeds=1, levels=(0.98,))
    values = given["labels"].values.copy()
    values[:40, 1] = 255
    values[20:50, 3] = 255
    content = audited(
        labels=replace(given["labels"], values=values), **{k: given[k] for k in ("dense", "compressed")}
    ).content
    pair = next(p for p in content["pairs"] if (p["attribute"], p["identity"]) == ("Hat", "Male"))
    assert pair["missing"] == 50
    assert np.sum(pair["counts"]["dense"]) == 250
    assert content["provenance"]["labels"]["missing"] == {"Smiling": 0, "Hat": 40, "Rare": 0, "Male": 30, "Young": 0}


def test_labels_of_one_class_are_handled_with_reasons():
    given = world(n=200, seeds=1, levels=(0.98,))
    values = given["labels"].values.copy()
    values[:, 0], values[:, 2] = 1, 255
    content = audited(labels=replace(given["labels"], values=values)).content
    reasons = {(r["metric"], r["attribute"]): r["reason"] for r in content["undefined"] if r["condition"] == "dense"}
    assert reasons["auc", "Smiling"] == "single_class"
    assert reasons["accuracy", "Rare"] == "no_labels"
    assert reasons["ba", "Rare"] == "too_few_positives"
