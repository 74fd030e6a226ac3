import pytest

from proactrec.report.line_labels import spread_out


def test_end_labels_keep_the_order_of_their_lines():
    places = spread_out([0.5, 0.1, 0.51, 0.49], 0.1)
    assert places == pytest.approx([0.5, 0.1, 0.6, 0.4])
    assert spread_out([1.0, 1.0], 0.1) == pytest.approx([0.9, 1.0])
    assert spread_out([], 0.1).shape == (0,)
