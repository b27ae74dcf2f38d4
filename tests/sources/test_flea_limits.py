"""The selector at its limits: edge cases that work, and what is refused in one sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tamis.errors import UsageError
from tamis.sources import FLEA

from .flea_vectors import fit, random_rows


class TestEdgeCases:
    def test_no_sources_or_one_source_keep_everything(self, manipulated):
        X, y, a = manipulated.X, manipulated.y, manipulated.a
        for sources in (None, np.zeros(len(y)), ["only"] * len(y)):
            found = FLEA().fit(X, y, sensitive_features=a, sources=sources)
            assert found.support_.tolist() == [True]
            assert found.n_clean_ == 1
            kept, _ = FLEA().fit_resample(X, y, sources=sources)
            assert len(kept) == len(y)

    def test_two_sources_are_kept_with_a_warning(self):
        rows = random_rows(0, sources=2)
        with pytest.warns(UserWarning, match="with 2 sources no majority"):
            assert fit(rows).support_.all()

    def test_half_or_fewer_come_with_a_warning(self, manipulated):
        with pytest.warns(UserWarning, match="keeps 2 of 5 sources.*no guarantee"):
            fit(manipulated, n_clean=2)

    def test_a_source_with_one_class_only_is_compared(self):
        rows = random_rows(1)
        rows.y[rows.s == 2] = 1
        found = fit(rows)
        assert np.isfinite(found.distances_).all()
        assert found.n_not_converged_ == 0

    def test_all_labels_equal_are_compared(self):
        rows = random_rows(1)
        found = FLEA().fit(rows.X, np.ones_like(rows.y), sensitive_features=rows.a, sources=rows.s)
        assert np.isfinite(found.distances_).all()
        np.testing.assert_array_equal(found.positive_shares_, 1.0)

    def test_a_source_without_a_group_is_refused_by_name(self):
        rows = random_rows(1)
        rows.a[rows.s == 2] = 1
        with pytest.raises(
            UsageError, match=r"source 2 has no row with 0 in sensitive_features; .*on_empty_group='max'"
        ):
            fit(rows)

    @pytest.mark.parametrize(("disparity", "top"), [("signed", 2.0), ("published", 1.0)])
    def test_a_source_without_a_group_can_be_treated_as_most_suspect(self, disparity, top):
        rows = random_rows(1)
        rows.a[rows.s == 2] = 1
        with pytest.warns(UserWarning, match="its disparity to all others is set to the largest value"):
            found = fit(rows, on_empty_group="max", disparity=disparity)
        others = [0, 1, 3]
        assert (found.disparity_[2, others] == top).all()
        assert found.disparity_[2, 2] == 0
        assert (found.disparity_[np.ix_(others, others)] < top).all()
        assert np.isfinite(found.discrepancy_).all()

    def test_one_group_in_all_sources_is_refused(self, manipulated):
        with pytest.raises(UsageError, match="has no row with"):
            FLEA().fit(manipulated.X, manipulated.y, sensitive_features=np.ones(750), sources=manipulated.s)

    def test_a_source_of_one_row_is_compared_by_labels(self):
        rows = random_rows(1)
        X, y, s = np.vstack([rows.X, [[0.1, 0.2, 0.3]]]), np.append(rows.y, 1), np.append(rows.s, 4)
        assert np.isfinite(FLEA().fit(X, y, sources=s).distances_).all()


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"X": [[np.nan, 1.0]] * 4}, "X holds NaN or infinite values: 4, the first in row 0, column 0"),
            ({"X": [[1.0, np.inf]] * 4}, "X holds NaN or infinite values: 4, the first in row 0, column 1"),
            ({"X": pd.DataFrame({"age": [1, 2, 3, 4], "town": list("abcd")})}, "holds text in column 'town'"),
            ({"y": [0, 1, 2, 1]}, "y must have two values, got 3: 0, 1, 2"),
            ({"y": [0, 1, np.nan, 1]}, "y contains NaN|y has 1 missing"),
            ({"y": [0, 1, 1]}, "inconsistent"),
            ({"a": [0, 1, 2, 1]}, "sensitive_features must have two values, got 3: 0, 1, 2; merge"),
            ({"a": [0, 1, None, 1]}, r"sensitive_features has 1 missing values \(the first in row 2\)"),
            ({"a": [0, 1, 1]}, "sensitive_features has 3 rows and X 4"),
            ({"a": np.zeros((4, 2))}, "sensitive_features must be one column, got an array of shape"),
            ({"s": ["a", "b", None, "b"]}, r"sources has 1 missing values \(the first in row 2\)"),
            ({"s": ["a", "b", pd.NA, "b"]}, r"sources has 1 missing values"),
            ({"s": ["a"]}, "sources has 1 rows and X 4"),
            ({"X": [[1e200, 1.0], [2e200, 3.0]] * 2}, "column 0 of X holds numbers too large"),
        ],
    )
    def test_data_that_do_not_fit_are_refused(self, change, message):
        given = {
            "X": [[1.0, 2.0], [2.0, 1.0], [0.0, 1.0], [4.0, 2.0]],
            "y": [0, 1, 0, 1],
            "a": [0, 1, 1, 0],
            "s": [0, 0, 1, 1],
        }
        given |= change
        with pytest.raises(ValueError, match=message):
            FLEA().fit(given["X"], given["y"], sensitive_features=given["a"], sources=given["s"])

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"n_clean": 6}, "n_clean=6: expected 1 to 5"),
            ({"n_clean": 0}, "n_clean=0: expected 1 to 5"),
            ({"n_clean": 1.5}, r"n_clean=1.5: as a fraction"),
            ({"n_clean": "most"}, "n_clean='most': expected a number of sources"),
            ({"n_clean": True}, "n_clean=True"),
            ({"components": "disparity"}, "components='disparity': expected some of"),
            ({"components": []}, "components"),
            ({"components": ["fairness"]}, "components"),
            ({"disparity": "unsigned"}, "disparity='unsigned': expected one of 'signed', 'published'"),
            ({"aggregation": "mean"}, "aggregation='mean'"),
            ({"include_sensitive": "maybe"}, "include_sensitive='maybe'"),
            ({"on_empty_group": "skip"}, "on_empty_group='skip'"),
            ({"gtol": 0}, "gtol=0: expected a positive number"),
            ({"max_iter": 0}, "max_iter=0: expected a positive integer"),
            ({"n_references": 0}, "n_references=0: expected a positive integer"),
        ],
    )
    def test_parameters_that_do_not_fit_are_refused(self, manipulated, parameters, message):
        with pytest.raises(UsageError, match=message):
            fit(manipulated, **parameters)

    def test_a_source_that_cannot_be_added_is_refused(self, manipulated):
        found = fit(manipulated)
        X, y, a = manipulated.X[:20], manipulated.y[:20], manipulated.a[:20]
        with pytest.raises(UsageError, match="a source named 3 is known already"):
            found.add_source(X, y, sensitive_features=a, name=3)
        with pytest.raises(UsageError, match="if and only if"):
            found.add_source(X, y, name=9)
        with pytest.raises(UsageError, match="y holds 2, which was not among"):
            found.add_source(X, y + 1, sensitive_features=a, name=9)
        with pytest.raises(ValueError, match="features"):
            found.add_source(X[:, :2], y, sensitive_features=a, name=9)
        with pytest.raises(UsageError, match="fitted with at least two sources"):
            FLEA().fit(X, y).add_source(X, y, name=9)
        with pytest.raises(UsageError, match="name='x': expected a name of the kind of the others, such as 0"):
            found.add_source(X, y, sensitive_features=a, name="x")
        with pytest.raises(UsageError, match="source 9 has no row with 1"):
            found.add_source(X, y, sensitive_features=np.zeros(20), name=9)
        assert len(found.sources_) == len(found._packed) == len(found.distances_) == 5, (
            "a refused source leaves no trace"
        )

    def test_an_unknown_source_in_row_mask_is_refused(self, manipulated):
        with pytest.raises(UsageError, match="source 7 was not there"):
            fit(manipulated).row_mask([1, 7])
