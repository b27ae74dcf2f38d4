"""How much of one attribute's predictions the predictions of all others explain."""

from __future__ import annotations

import numpy as np

from tamis.audit._reasons import Value, undefined


def interdependence(predictions: np.ndarray) -> list[Value]:
    """In-sample R² of least squares with intercept, of each column on all others.

    Published code: IST-DASLab/pruned-vision-model-bias.  A constant column explains nothing; as a target it is
    undefined (constant_prediction), where a least-squares score would call it perfectly explained.

    Args:
        predictions: shape (N, K), 0 and 1.

    The result comes from the K x K table of common positives, which whole numbers hold exactly; collinear columns are
    met by a pseudo-inverse.
    """
    n, width = predictions.shape
    columns = predictions.astype(np.float32)
    common = np.zeros((width, width))
    for start in range(0, n, 1 << 20):  # sums of fewer than 2^24 ones are exact in float32
        part = columns[start : start + (1 << 20)]
        common += part.T @ part
    totals = np.diag(common)
    covariance = n * common - np.outer(totals, totals)
    spread = np.sqrt(np.diag(covariance))
    live = spread > 0
    scale = np.where(live, spread, 1.0)
    correlation = covariance / np.outer(scale, scale)
    found = []
    for target in range(width):
        if not live[target]:
            found.append(undefined("constant_prediction"))
            continue
        others = live.copy()
        others[target] = False
        along = correlation[others, target]
        inner = correlation[np.ix_(others, others)]
        explained = float(along @ np.linalg.pinv(inner, rcond=1e-10, hermitian=True) @ along) if len(along) else 0.0
        found.append(Value(min(max(explained, 0.0), 1.0)))
    return found
