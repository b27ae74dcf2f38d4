"""A policy's table as JUnit XML, which continuous integration shows as tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from tamis.audit._names import display


def junit(content: Mapping[str, Any]) -> str:
    """One test case for each row of the policy; a failed row is a failure, a warning stands in system-out."""
    rows = content["policy"]["rows"] if content["policy"] is not None else []
    failed = sum(row["state"] == "fail" for row in rows)
    skipped = sum(row["state"] == "ignored" for row in rows)
    suite = ElementTree.Element(
        "testsuite",
        name="tamis audit", tests=str(len(rows)), failures=str(failed), errors="0", skipped=str(skipped),
    )  # fmt: skip
    for row in rows:
        subject = " x ".join(display(row[key]) for key in ("attribute", "identity") if row[key]) or "mean"
        if row["group"] is not None:
            subject += f", group {row['group']}"
        case = ElementTree.SubElement(
            suite, "testcase", classname=display(row["condition"]), name=f"{row['metric']}: {subject}"
        )
        if row["state"] == "fail":
            ElementTree.SubElement(case, "failure", message=row["words"]).text = row["words"]
        elif row["state"] == "ignored":
            ElementTree.SubElement(case, "skipped", message=row["words"])
        else:
            ElementTree.SubElement(case, "system-out").text = row["words"]
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"
