"""From a bias study to its cells: each is one network, trained, pruned or rounded, and its outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from tamis.study._bias_description import BiasData, BiasStudy, PlantedFeature
from tamis.train import AttributeRecipe, parse_table


@dataclass(frozen=True)
class BiasCell:
    """One network of a bias study.

    Attributes:
        name: of its folder, such as ``joint_ri_95_s0``.
        setup: ``joint``, ``single``, ``combined`` or ``planted``: what is predicted on which data.
        subject: the attribute of a single network, the columns of a combined one, the planted feature; empty for joint.
        method: ``dense``, ``gmp_ri``, ``gmp_pt`` or ``bits``.
        data: where the images come from.
        recipe: how it is trained.
        planted: the feature, or none.
        start: name of the cell whose network it starts from; empty: fresh weights.
        bits: of a weight, for the method ``bits``; else 0.
    """

    name: str
    setup: str
    subject: str
    method: str
    data: BiasData
    recipe: AttributeRecipe
    planted: PlantedFeature | None = None
    start: str = ""
    bits: int = 0

    def text(self) -> str:
        """JSON from which :func:`parse_cell` makes an equal cell; what a finished cell is recognised by."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def parse_cell(text: str) -> BiasCell:
    """The inverse of :meth:`BiasCell.text`."""
    table = json.loads(text)
    return parse_table(BiasCell, {key: value for key, value in table.items() if value is not None}, "cell")


def bias_cells(study: BiasStudy) -> tuple[BiasCell, ...]:
    """All cells in the order of their training: a cell that starts from another comes behind it.

    Dense joint networks come first, then the joint pruned ones seed by seed, then the rest, so that a study that was
    stopped has its main comparison.
    """
    return (*_dense(study), *_joint(study), *_planted(study), *_single(study))


def _dense(study: BiasStudy) -> Iterator[BiasCell]:
    for seed in study.seeds:
        yield _cell(study, "joint", "", study.attributes, 0.0, seed)


def _joint(study: BiasStudy) -> Iterator[BiasCell]:
    for seed in study.seeds:
        start = cell_name("joint", "", "dense", 0.0, seed)
        for bits in study.bits:
            name = cell_name("joint", "", "bits", bits, seed)
            recipe = replace(study.training, targets=study.attributes, seed=seed)
            yield BiasCell(name, "joint", "", "bits", study.data, recipe, start=start, bits=bits)
        for sparsity in reversed(study.sparsity):
            yield _cell(study, "joint", "", study.attributes, sparsity, seed)
        for sparsity in reversed(study.after_training):
            name = cell_name("joint", "", "gmp_pt", sparsity, seed)
            recipe = replace(study.finetuning, targets=study.attributes, sparsity=sparsity, seed=seed)
            yield BiasCell(name, "joint", "", "gmp_pt", study.data, recipe, start=start)


def _planted(study: BiasStudy) -> Iterator[BiasCell]:
    for place, seed in enumerate(study.seeds):
        for feature in study.planted:
            if place < feature.seeds:
                for sparsity in (0.0, *study.planted_sparsity):
                    subject = planted_name(feature)
                    cell = _cell(study, "planted", subject, (feature.attribute,), sparsity, seed)
                    yield replace(cell, planted=feature)


def _single(study: BiasStudy) -> Iterator[BiasCell]:
    for seed in study.seeds:
        for sparsity in (0.0, *study.single_sparsity):
            for attribute in study.single:
                yield _cell(study, "single", attribute, (attribute,), sparsity, seed)
            for columns in study.combined:
                yield _cell(study, "combined", "+".join(columns), columns, sparsity, seed)


def _cell(study: BiasStudy, setup: str, subject: str, targets: tuple[str, ...], sparsity: float, seed: int) -> BiasCell:
    method = "gmp_ri" if sparsity else "dense"
    recipe = replace(study.training, targets=targets, sparsity=sparsity, seed=seed)
    return BiasCell(cell_name(setup, subject, method, sparsity, seed), setup, subject, method, study.data, recipe)


def planted_name(feature: PlantedFeature) -> str:
    """A short name of a planted feature.

    >>> planted_name(PlantedFeature("Loop", train=(0.05, 0.95)))
    'yellow_square-Loop-5-95'
    """
    shares = "-".join(f"{round(100 * share, 6):g}" for share in feature.train)
    return f"{feature.kind}-{feature.attribute}-{shares}"


def cell_name(setup: str, subject: str, method: str, level: float, seed: int) -> str:
    """The stable name of a cell; characters that no folder should have become underscores.

    >>> cell_name("joint", "", "gmp_ri", 0.95, 0), cell_name("single", "Thick", "dense", 0.0, 1)
    ('joint_gmp_ri_95_s0', 'single_Thick_dense_s1')
    >>> cell_name("joint", "", "bits", 4, 2)
    'joint_bits_4_s2'
    """
    kind = "".join(letter if letter.isalnum() or letter in "-+." else "_" for letter in subject)
    parts = [setup, kind, method]
    if method != "dense":
        parts.append(f"{level:g}" if method == "bits" else f"{round(100 * level, 8):.10g}")
    return "_".join([*(part for part in parts if part), f"s{seed}"])
