"""``tamis audit run``: compressed models against dense ones, with report, JSON and a gate."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tamis.cli._arguments import parse
from tamis.errors import UsageError

if TYPE_CHECKING:
    from tamis.audit import AuditReport, Labels, Policy


@dataclass(frozen=True)
class Inputs:
    """Files that several sub-commands read."""

    dense: tuple[str, ...]
    """Outputs of the dense models, one .npz file a seed (see tamis audit collect)."""
    labels: str
    """Labels of the same samples: an .npz file with labels, ids, names, perhaps cluster and train_labels."""
    groups: tuple[str, ...]
    """Identities: names of label columns, or .npz files whose columns all are identities."""
    train_labels: str = ""
    """Labels of the training samples, used as counts; without it, train_labels in the labels' file."""
    attributes: tuple[str, ...] = ()
    """Targets to audit; all columns of the models if none is given."""
    min_positives: int = 10
    """True test positives that bias amplification needs in each group."""
    min_gap: str = "1/10"
    """Relative gap of the training rates below which no direction is defined."""
    uncertainty: float = 0.4
    """A prediction is uncertain if its probability is nearer to 1/2 than this."""


@dataclass(frozen=True)
class Options(Inputs):
    """Audit compressed models against dense ones. Exit code 1 if the policy is not met, 2 for bad input."""

    compressed: tuple[str, ...] = ()
    """Outputs of the compressed models, one .npz file a method, level and seed."""
    valid: tuple[str, ...] = ()
    """Outputs of all these models on validation samples, for calibrated thresholds."""
    valid_labels: str = ""
    """Labels of the validation samples."""
    thresholds: Literal["zero", "calibrated", "published"] = "zero"
    """Where predictions become positive: at logit 0, or calibrated on the validation samples."""
    intersections: tuple[str, ...] = ()
    """Cells to compare with the rest, such as Male*Young; at most three identities each."""
    min_cell: int = 30
    """Smallest group whose loss of accuracy is judged, and smallest cell of an intersection."""
    n_boot: int = 2000
    """Draws of the bootstrap."""
    ci: float = 0.95
    """Level of all intervals."""
    seed: int = 0
    """Seed of the bootstrap."""
    policy: str = ""
    """A .toml file with limits, or "default"."""
    strict: bool = False
    """Pass only where the whole interval keeps the limit."""
    warnings_as_errors: bool = False
    """Exit code 1 for warnings too."""
    report: str = ""
    """Write the page to this .html file."""
    images: str = ""
    """Show exemplars: a folder of images named by id, or an .npz file; none are shown without it."""
    blur: bool = False
    """Make these images unrecognisable."""
    json: str = ""
    """Write the report as JSON to this file; "-" prints it instead of text."""
    markdown: str = ""
    """Write the summary to this .md file."""
    junit: str = ""
    """Write the policy's table to this .xml file."""


def run(arguments: list[str]) -> int:
    """The exit code."""
    return work(parse(Options, arguments, "tamis audit run"))


def work(options: Options) -> int:
    """Exit code 0, or 1 if a policy was given and is not met, or 2 if none of its rules could be evaluated."""
    from tamis.audit import audit

    if not options.compressed:
        raise UsageError("--compressed: expected at least one .npz file of a compressed model")
    if options.report:
        from tamis.report import require_extra

        require_extra()  # before the work, not after it
    policy = read_policy(options.policy, options.strict, options.warnings_as_errors)
    given = read_inputs(options)
    report = audit(
        dense=read_outputs(options.dense),
        compressed=read_outputs(options.compressed),
        valid=_validation(options),
        thresholds=options.thresholds,
        intersections=[tuple(part.strip() for part in text.split("*")) for text in options.intersections],
        min_cell=options.min_cell,
        n_boot=options.n_boot,
        ci=options.ci,
        seed=options.seed,
        command=command_text(sys.argv),
        **given,
    )
    if policy is not None:
        report = report.with_policy(policy)
    _write(report, options)
    return int(report.content["verdict"]["exit_code"])


def _write(report: AuditReport, options: Options) -> None:
    from tamis.audit import junit
    from tamis.storage import write_atomic

    if options.json and options.json != "-":
        report.save(options.json)
    if options.markdown:
        write_atomic(options.markdown, report.to_markdown())
    if options.junit:
        write_atomic(options.junit, junit(report.content))
    if options.report:
        write_page(report.content, options.report, options.images, options.blur)
    sys.stdout.write(report.to_json() if options.json == "-" else report.to_markdown())


def write_page(content: Any, path: str, images: str, blur: bool) -> None:
    """The HTML page, with pictures only if their source is given."""
    from tamis.report.audit import read_images, write_audit_report

    write_audit_report(content, path, images=read_images(images, content, blur=blur) if images else None)


def read_policy(path: str, strict: bool, warnings_as_errors: bool) -> Policy | None:
    """The policy of a file, or the default one; flags make it stricter and never laxer."""
    from dataclasses import replace

    from tamis.audit import DEFAULT_POLICY, Policy

    if not path:
        if strict or warnings_as_errors:
            raise UsageError("--strict and --warnings-as-errors need --policy: a .toml file, or default")
        return None
    found = DEFAULT_POLICY if path == "default" and not Path(path).exists() else Policy.load(path)
    return replace(
        found, strict=found.strict or strict, warnings_as_errors=found.warnings_as_errors or warnings_as_errors
    )


def read_inputs(options: Inputs) -> dict[str, Any]:
    """Labels, training labels, groups and limits, as arguments of ``audit``."""
    from tamis.audit import Labels

    labels = Labels.load(options.labels)
    train = Labels.load(options.train_labels) if options.train_labels else Labels.load_train(options.labels)
    if train is None:
        raise UsageError(
            f"{options.labels} holds no train_labels, whose counts give bias its direction; pass --train-labels"
        )
    names: list[str] = []
    for group in options.groups:
        if group.endswith(".npz") and group not in labels.names:
            extra = Labels.load(group)
            names += extra.names
            labels = labels.joined(extra, group)
            of_train = Labels.load_train(group)
            if of_train is not None:
                train = _beside(train, of_train, group)
        else:
            names.append(group)
    return {
        "labels": labels,
        "train_labels": train,
        "groups": tuple(dict.fromkeys(names)),
        "attributes": options.attributes or None,
        "min_positives": options.min_positives,
        "min_gap": options.min_gap,
        "uncertainty": options.uncertainty,
    }


def _beside(train: Labels, extra: Labels, group: str) -> Labels:
    if len(extra.values) != len(train.values):
        raise UsageError(
            f"{group}: train_labels has {len(extra.values)} rows, the training labels {len(train.values)}; "
            "expected the same samples"
        )
    return train.joined(extra, group)


def _validation(options: Options) -> Any:
    from tamis.audit import Labels, Validation

    if bool(options.valid) != bool(options.valid_labels):
        raise UsageError("--valid and --valid-labels belong together; expected both or neither")
    if not options.valid:
        return None
    return Validation(Labels.load(options.valid_labels), read_outputs(options.valid))


def read_outputs(paths: tuple[str, ...]) -> list[Any]:
    """The outputs of several files, in order."""
    from tamis.audit import Outputs

    return [Outputs.load(path) for path in paths]


def check_limit(limit: int) -> None:
    """Refuse a negative number of rows of a queue (UsageError)."""
    if limit < 0:
        raise UsageError(f"--limit {limit}: expected a number of rows, or 0 for all")


def command_text(arguments: list[str]) -> str:
    """The command as the report shows it: folders of files are left out, because they tell of the machine."""
    words = []
    for word in arguments[1:]:
        flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        words.append(f"{flag}{equals}{Path(value).name if value else ''}")
    return " ".join(["tamis", *words])
