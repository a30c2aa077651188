"""Arguments are checked against intervals, and errors name the argument, the value and the rule."""

import numpy as np
import pytest

from bounds import _checks


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("(0, inf)", [5e-324, 1.0], [0.0, -1.0, np.inf]),
        ("(0, inf]", [5e-324, np.inf], [0.0]),
        ("[0, inf)", [0.0, 1e308], [-5e-324, np.inf]),
        ("[0, inf]", [0.0, np.inf], [-1.0]),
        ("[0, 1)", [0.0, 0.5], [1.0, -0.1]),
        ("(0, 1]", [0.5, 1.0], [0.0, 1.1]),
        ("(-inf, inf)", [-1e308, 1e308], [-np.inf, np.inf]),
        ("[-inf, 0]", [-np.inf, 0.0], [5e-324]),
    ],
)
def test_intervals_hold_for_numbers_and_arrays_alike(interval, inside, outside):
    for value in inside:
        assert _checks.number("x", value, interval) == value
    assert _checks.array("x", inside, interval).tolist() == inside
    for value in [*outside, np.nan]:
        with pytest.raises(ValueError, match=r"x = .*: must"):
            _checks.number("x", value, interval)
        with pytest.raises(ValueError, match=r"x\[1\] = .*: must"):
            _checks.array("x", [inside[0], value], interval)


def test_numbers_come_back_as_floats():
    for value in (2, np.int64(2), np.float32(2.0), np.array(2.0), 2.0):
        assert type(_checks.number("x", value, "[0, inf)")) is float
    assert _checks.array("x", [1, 2], "[0, inf)").dtype == np.float64


def test_arrays_have_the_shape_asked_for():
    assert _checks.array("x", 3.0, "[0, inf)", length=2).tolist() == [3.0, 3.0]
    assert _checks.array("x", [[1.0, 2.0]], "[0, inf)", ndim=2).shape == (1, 2)
    with pytest.raises(ValueError, match=r"x has shape \(3,\): must be a scalar or have shape \(2,\)"):
        _checks.array("x", np.ones(3), "[0, inf)", length=2)
    with pytest.raises(ValueError, match=r"x has shape \(3,\): must have 2 axes"):
        _checks.array("x", np.ones(3), "[0, inf)", ndim=2)
    with pytest.raises(ValueError, match=r"x has shape \(0, 2\): must not be empty"):
        _checks.array("x", np.ones((0, 2)), "[0, inf)", ndim=2)
    with pytest.raises(ValueError, match=r"x has shape \(1,\): must be a single number"):
        _checks.number("x", [1.0], "[0, inf)")
    with pytest.raises(ValueError, match=r"x\[1, 0\] = -1\.0: must be nonnegative and finite"):
        _checks.array("x", [[1.0, 2.0], [-1.0, 0.0]], "[0, inf)")


@pytest.mark.parametrize("value", [True, "1", None, 1j, [[1.0], [1.0, 2.0]], np.array([object()])])
def test_what_is_not_real_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"x = .*: must be"):
        _checks.array("x", value, "[0, inf)")
    with pytest.raises(TypeError, match=r"x = .*: must be"):
        _checks.number("x", value, "[0, inf)")


def test_counts_and_choices():
    assert _checks.count("n", np.int32(3), least=1) == 3
    for value in (True, 1.0, "1", None):
        with pytest.raises(TypeError, match=r"n = .*: must be an integer"):
            _checks.count("n", value)
    with pytest.raises(ValueError, match="n = 0: must be at least 1"):
        _checks.count("n", 0, least=1)
    assert _checks.choice("method", "hull", ["hull", "best"]) == "hull"
    with pytest.raises(ValueError, match="method = 'x': must be one of 'hull', 'best'"):
        _checks.choice("method", "x", ("hull", "best"))
