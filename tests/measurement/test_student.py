"""Student's t: both kinds agree with the tables, and with each other where both hold."""

import numpy as np
import pytest

from proactrec.measurement.student import T_975, student_quantile


@pytest.mark.parametrize(
    ("freedom", "wanted"), [(5, 2.5706), (10, 2.2281), (30, 2.0423), (1000, 1.9623)]
)
def test_student_quantiles_are_those_of_the_tables(freedom: int, wanted: float) -> None:
    assert student_quantile(0.975, np.array(float(freedom))) == pytest.approx(wanted, abs=0.002)


def test_printed_and_computed_quantiles_agree_from_5_degrees_of_freedom_on() -> None:
    freedom = np.arange(1.0, len(T_975) + 1)
    gap = np.abs(student_quantile(0.975, freedom) - T_975)
    assert gap[4:].max() < 0.002
    assert gap[0] > 0.1  # why the first four are printed
