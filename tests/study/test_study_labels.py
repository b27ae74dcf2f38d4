"""Labels: near where they belong, never on each other."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.study._labels import FAR, RINGS, beside, overlap, spread

HEIGHTS = st.lists(st.floats(0, 100), min_size=1, max_size=25)


def test_labels_that_do_not_touch_stay():
    assert spread([1.0, 9.0, 5.0], 2.0, 0.0, 10.0) == [1.0, 9.0, 5.0]


def test_labels_that_touch_move_apart_by_the_same_way():
    assert spread([5.0, 5.0, 5.0], 2.0, 0.0, 10.0) == [3.0, 5.0, 7.0]


def test_a_group_at_the_edge_is_pushed_inside():
    assert spread([0.0, 0.0], 3.0, 0.0, 10.0) == [0.0, 3.0]
    assert spread([10.0, 10.0], 3.0, 0.0, 10.0) == [7.0, 10.0]


@given(HEIGHTS)
def test_spread_labels_keep_order_distance_and_frame(wanted):
    found = spread(wanted, 4.0, 0.0, 100.0)
    order = sorted(range(len(wanted)), key=lambda place: (wanted[place], place))
    ranked = [found[place] for place in order]
    assert all(b - a >= 4.0 - 1e-9 for a, b in itertools.pairwise(ranked))
    assert ranked[0] >= -1e-9
    assert ranked[-1] <= 100 + 1e-9


def test_more_labels_than_fit_share_the_frame_evenly():
    assert spread([5.0] * 5, 4.0, 0.0, 8.0) == pytest.approx([0, 2, 4, 6, 8])


@given(st.lists(st.tuples(st.floats(50, 350), st.floats(50, 250)), min_size=1, max_size=12))
def test_boxes_beside_points_do_not_cover_each_other(points):
    boxes = beside(points, [(40.0, 10.0)] * len(points), (0.0, 0.0, 400.0, 300.0), 7.0)
    for a, b in itertools.combinations(boxes, 2):
        assert overlap(a, b) <= RINGS * FAR * 40.0 * 10.0  # a sliver is cheaper than going far around
    for left, bottom, right, top in boxes:
        assert left >= 0 and bottom >= 0 and right <= 400 and top <= 300  # noqa: PT018


def test_a_lone_box_is_to_the_right_of_its_point():
    ((left, bottom, right, top),) = beside([(100.0, 100.0)], [(40.0, 10.0)], (0.0, 0.0, 400.0, 300.0), 7.0)
    assert (left, bottom, right, top) == (107.0, 95.0, 147.0, 105.0)


def test_a_box_avoids_a_line_that_is_near():
    line = (0.0, 99.5, 400.0, 100.5)
    (box,) = beside([(100.0, 100.0)], [(40.0, 10.0)], (0.0, 0.0, 400.0, 300.0), 7.0, [line])
    assert overlap(box, line) == 0
