"""What the criteria of :func:`tamis.audit.predict` were worth where compressed models were measured too.

The numbers are those of benchmarks/results/bias_tinted_digits_conditions.csv, rounded; a test compares them.  They come
from ``tamis study bias``: joint networks on TintedDigits, three seeds, ten attributes and two identities.
"""

from __future__ import annotations

from typing import Any

STUDY = "bias_tinted_digits"
COLUMNS = (
    "condition", "n", "risen", "top", "top_risen_cu", "top_risen_u", "spearman_cu", "p_cu", "spearman_u", "p_u",
    "auroc", "flagged", "base",
)  # fmt: skip
# p values below 0.0005 read 0
_ROWS = (
    ("gmp_ri@sparsity=0.8", 20, 6, 5, 1, 3, 0.495, 0.027, 0.661, 0.002, 0.946, 0.986, 0.280),
    ("gmp_ri@sparsity=0.9", 20, 9, 5, 3, 4, 0.582, 0.007, 0.815, 0.000, 0.939, 0.976, 0.280),
    ("gmp_ri@sparsity=0.95", 20, 8, 5, 3, 3, 0.460, 0.041, 0.528, 0.017, 0.930, 0.961, 0.280),
    ("gmp_ri@sparsity=0.97", 20, 9, 5, 4, 4, 0.630, 0.003, 0.661, 0.002, 0.914, 0.926, 0.280),
    ("gmp_ri@sparsity=0.98", 20, 13, 5, 4, 5, 0.547, 0.012, 0.580, 0.007, 0.894, 0.877, 0.280),
    ("gmp_pt@sparsity=0.95", 20, 9, 5, 3, 3, 0.382, 0.097, 0.474, 0.035, 0.933, 0.965, 0.280),
    ("gmp_pt@sparsity=0.98", 20, 14, 5, 4, 5, 0.565, 0.009, 0.619, 0.004, 0.882, 0.848, 0.280),
    ("bits@bits=8", 20, 0, 5, 0, 0, -0.096, 0.686, -0.251, 0.287, 0.999, 1.000, 0.280),
    ("bits@bits=4", 20, 1, 5, 0, 0, -0.295, 0.207, -0.193, 0.414, 0.965, 0.998, 0.280),
    ("bits@bits=3", 20, 5, 5, 1, 1, 0.159, 0.502, 0.169, 0.476, 0.885, 0.846, 0.280),
)  # fmt: skip


def track_record() -> dict[str, Any]:
    """The key ``track_record`` of a forecast, one row for each condition of the study.

    ``risen`` of ``n`` pairs have a 95 % interval of the change of bias amplification above 0; ``top_risen_cu`` of the
    ``top`` pairs ranked highest by c u are among them, ``top_risen_u`` of those by u alone.  ``spearman`` and ``p`` are
    the rank correlations with the change.  ``auroc`` tells changed predictions by dense uncertainty, ``flagged`` is the
    share of them that the dense models were uncertain of, ``base`` that of all predictions.
    """
    return {"study": STUDY, "rows": [dict(zip(COLUMNS, row, strict=True)) for row in _ROWS]}


def record_words() -> str:
    """The record of the pruned networks as Markdown: one table and how to read it."""
    lines = [
        f"| {row['condition']} | {row['top_risen_cu']} of {row['top']} | {row['top_risen_u']} of {row['top']} | "
        f"{row['risen']} of {row['n']} | {row['spearman_cu']:+.2f} | {row['spearman_u']:+.2f} | {row['flagged']:.0%} | "
        f"{row['base']:.0%} |"
        for row in track_record()["rows"]
    ]
    head = (
        "| condition | top by c·u risen | top by u risen | all risen | rho c·u | rho u | changed predictions flagged | "
        "all flagged |\n|---|---|---|---|---|---|---|---|\n"
    )
    return (
        "A ranking, never a probability. What it was worth in our own study (TintedDigits, small networks, 3 seeds): "
        "how many of the 5 pairs ranked highest rose for sure, beside how many of all 20 did, and rank correlations "
        "with the change. Uncertainty alone did no worse there than times correlation, and neither foretold rounded "
        "weights. Audit a compressed model to see what it is worth on your data.\n\n" + head + "\n".join(lines) + "\n"
    )
