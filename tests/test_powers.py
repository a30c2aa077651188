"""Powers, power sums and their divided differences against the defining sums at 60 digits."""

import mpmath as mp
import numpy as np
import pytest

from linear import _powers

RATES = np.array([1e-14, 1e-7, 0.3, 0.3 * (1 + 1e-13), 0.999, 1.0, 1.4, 1.7, 1.9999999, 2.0, 2.2])
COUNTS = (0, 1, 2, 3, 7, 64, 301)


def largest_error(computed, exact):
    """Largest relative error, entry by entry; what a double cannot hold counts as zero, and zero must be met."""
    pairs = [(mp.mpf(float(c)), e) for c, e in zip(np.ravel(computed), exact, strict=True)]
    return float(max(abs(c - e) / abs(e) if abs(e) > 1e-290 else mp.mpf(abs(c) > 1e-290) for c, e in pairs))


def bases(rates=RATES):
    return [1 - mp.mpf(float(rate)) for rate in rates]


@pytest.mark.parametrize("count", COUNTS)
def test_powers_and_sums_match_their_definitions(count):
    with mp.workdps(60):
        powers = [t**count for t in bases()]
        geometric = [mp.fsum(t**k for k in range(count)) for t in bases()]
        gains = [mp.fsum(t ** (2 * k) for k in range(count)) for t in bases()]
        assert largest_error(_powers.power(RATES, count), powers) < 1e-13
        assert largest_error(_powers.geometric_sum(RATES, count), geometric) < 1e-13
        assert largest_error(_powers.noise_gain(RATES, count), gains) < 1e-13


@pytest.mark.parametrize("count", COUNTS)
def test_divided_differences_match_their_definitions(count):
    """Against (t^{k+1})[t, r] = t (t^k)[t, r] + r^k, for equal, nearly equal and opposite arguments alike."""

    def differences(t, r):
        power, gain, steps = mp.mpf(0), mp.mpf(0), 0
        for k in range(2 * count):
            if k % 2 == 0:  # here `power` is (t^k)[t, r]
                gain += power
            if k == count:
                steps = power
            power = t * power + r**k
        return steps, gain

    with mp.workdps(60):
        powers, gains = zip(*[differences(t, r) for t in bases() for r in bases()], strict=True)
        assert largest_error(_powers.power_differences(RATES, RATES, count), powers) < 2e-13
        assert largest_error(_powers.gain_differences(RATES, RATES, count), gains) < 2e-13


def test_a_long_horizon_keeps_its_digits():
    rates, count = np.array([1e-9, 1e-5]), 10**6
    with mp.workdps(60):
        gains = [(1 - t ** (2 * count)) / (1 - t * t) for t in bases(rates)]
        assert largest_error(_powers.noise_gain(rates, count), gains) < 1e-14
        t, r = bases(rates)
        expected = (gains[0] - gains[1]) / (t - r)
        computed = _powers.gain_differences(rates[:1], rates[1:], count)
        assert largest_error(computed, [expected]) < 1e-13


def test_growth_beyond_doubles_is_refused():
    _powers.refuse_overflow(np.array([0.5, 2.0]), 10**6)
    with pytest.raises(FloatingPointError, match=r"step_size \* smoothness = 2.5 is above 2"):
        _powers.refuse_overflow(np.array([0.5, 2.5]), 1000)
