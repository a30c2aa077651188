"""Schedules: noise conventions, lengths, refusals."""

import dataclasses

import numpy as np
import pytest

from linear.schedule import Schedule

PLAIN = {"step_size": 0.125, "learn_steps": 3, "unlearn_steps": 2, "learn_noise": 0.5, "unlearn_noise": 0.25}


@pytest.mark.parametrize(
    ("convention", "scale"), [("injected", 1.0), ("langevin", 0.5), ("gradient", 0.125)], ids=lambda value: str(value)
)
def test_conventions_convert_to_the_injected_deviation(convention, scale):
    schedule = Schedule(**PLAIN, convention=convention)
    assert schedule.learn_noise == pytest.approx(scale * 0.5, rel=1e-15)
    assert schedule.unlearn_noise == pytest.approx(scale * 0.25, rel=1e-15)


@pytest.mark.parametrize("convention", ["langevin", "gradient"])
def test_a_copy_is_not_converted_again(convention):
    schedule = Schedule(**PLAIN, convention=convention)
    copy = dataclasses.replace(schedule, learn_steps=5)
    assert (copy.learn_noise, copy.unlearn_noise) == (schedule.learn_noise, schedule.unlearn_noise)
    assert copy.learn_steps == 5
    louder = schedule.with_unlearn_noise(2.0)
    assert louder.unlearn_noise == 2.0
    assert louder.with_unlearn_noise(schedule.unlearn_noise) == schedule


def test_the_printed_form_makes_the_schedule_again():
    schedule = Schedule(**PLAIN, convention="langevin")
    assert eval(repr(schedule)) == schedule


def test_horizon_and_noise_per_step():
    schedule = Schedule(**PLAIN)
    assert schedule.horizon == 5
    np.testing.assert_array_equal(schedule.noise_std, [0.5, 0.5, 0.5, 0.25, 0.25])
    assert Schedule(**{**PLAIN, "learn_steps": 0}).noise_std.tolist() == [0.25, 0.25]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"step_size": 0.0}, ValueError, "step_size = 0.0: must be positive"),
        ({"step_size": float("inf")}, ValueError, "step_size = inf: must be finite"),
        ({"step_size": "0.1"}, TypeError, "step_size = '0.1': must be a real number"),
        ({"learn_steps": True}, TypeError, "learn_steps = True: must be an integer, not a bool"),
        ({"learn_steps": 2.0}, TypeError, "learn_steps = 2.0: must be an integer"),
        ({"unlearn_steps": -1}, ValueError, "unlearn_steps = -1: must be at least 0"),
        ({"learn_steps": 0, "unlearn_steps": 0}, ValueError, "learn_steps = unlearn_steps = 0"),
        ({"learn_noise": -0.1}, ValueError, "learn_noise = -0.1: must not be negative"),
        ({"unlearn_noise": float("nan")}, ValueError, "unlearn_noise = nan: must be finite"),
        ({"convention": "per-step"}, ValueError, "convention = 'per-step': must be one of 'injected', 'langevin'"),
    ],
)
def test_refusals_name_the_argument_and_the_rule(change, error, message):
    with pytest.raises(error, match=message):
        Schedule(**{**PLAIN, **change})


def test_numpy_numbers_are_accepted():
    schedule = Schedule(**{**PLAIN, "learn_steps": np.int64(3), "learn_noise": np.float64(0.5)})
    assert schedule == Schedule(**PLAIN)
