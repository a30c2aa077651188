"""The simulated chain against the exact laws, in the only way samples allow, and without noise to the last digit."""

import numpy as np
import pytest
from scipy import stats

from linear import langevin, simulation
from linear.ridge import RidgeProblem
from linear.schedule import Schedule

FALSE_ALARM = 1e-8
PROBLEM = RidgeProblem(
    [[1.0, 0.2], [0.5, 1.0], [-0.3, 0.8]],
    [[1.0, -1.0], [2.0, 0.5], [0.0, 1.0]],
    ridge=0.1,
    initial=[[0.5, 0.0], [0.0, -0.5]],
)
SCHEDULE = Schedule(step_size=0.1, learn_steps=4, unlearn_steps=3, learn_noise=0.4, unlearn_noise=0.3)


def p_value(samples, mean, cov, partner=None):
    """Smallest p-value, corrected for their number, of exact tests that samples (runs, p, C) have this law.

    Whitened, every entry is standard normal and all are independent: the sum over runs and columns of one coordinate
    squared, or of the sum or difference of two coordinates squared over 2, is chi-squared, and the mean is normal.
    `partner`: whitened samples of another chain, independent if the noise is.
    """
    whitened = np.linalg.solve(np.linalg.cholesky(cov), (samples - mean).transpose(1, 0, 2).reshape(len(cov), -1))
    rows = list(whitened)
    if partner is not None:
        rows += list(partner)
    count = whitened.shape[1]
    directions = rows + [(a + s * b) / np.sqrt(2) for i, a in enumerate(rows) for b in rows[:i] for s in (1, -1)]
    runs = len(samples)
    columns = samples.shape[2]
    crossed = [row.reshape(runs, columns)[:, 0] + row.reshape(runs, columns)[:, 1] for row in rows]
    tests = [stats.chi2(count).cdf(np.sum(row**2)) for row in directions]
    tests += [stats.chi2(runs).cdf(np.sum(row**2) / 2) for row in crossed]
    tests += [stats.norm.cdf(np.sum(row) / np.sqrt(count)) for row in directions]
    tails = [2 * min(value, 1 - value) for value in tests]
    return len(tails) * min(tails), whitened


@pytest.mark.statistical
def test_the_chain_has_the_exact_laws():
    """20000 runs: a variance off by 5 % or a mean off by 0.04 deviations is certain to be seen."""
    unlearned, reference = simulation.simulate(PROBLEM, SCHEDULE, 1, 20_000, np.random.default_rng(7))
    assert unlearned.shape == reference.shape == (20_000, 2, 2)
    laws = langevin.exact_laws(PROBLEM, SCHEDULE, 1)
    first, whitened = p_value(unlearned, laws.mean_p, laws.cov_p)
    second, _ = p_value(reference, laws.mean_q, laws.cov_q, partner=whitened)
    assert first > FALSE_ALARM / 2
    assert second > FALSE_ALARM / 2


@pytest.mark.parametrize(
    "change",
    [{"learn_steps": 5}, {"unlearn_steps": 2}, {"learn_noise": 0.42}, {"unlearn_noise": 0.32}, {"step_size": 0.11}],
    ids=str,
)
def test_the_same_check_sees_a_slightly_wrong_chain(change):
    fields = {name: getattr(SCHEDULE, name) for name in SCHEDULE.__dataclass_fields__}
    samples, _ = simulation.simulate(PROBLEM, Schedule(**{**fields, **change}), 1, 20_000, 11)
    laws = langevin.exact_laws(PROBLEM, SCHEDULE, 1)
    assert p_value(samples, laws.mean_p, laws.cov_p)[0] < FALSE_ALARM


def test_the_same_check_sees_shared_noise():
    laws = langevin.exact_laws(PROBLEM, SCHEDULE, 1)
    _, samples = simulation.simulate(PROBLEM, SCHEDULE, 1, 5_000, 12)
    _, whitened = p_value(samples, laws.mean_q, laws.cov_q)
    assert p_value(samples, laws.mean_q, laws.cov_q, partner=whitened)[0] < FALSE_ALARM


@pytest.mark.parametrize("relative_step", [0.5, 1.5, 2.2])
def test_without_noise_the_chain_is_the_mean(relative_step):
    schedule = Schedule(
        step_size=relative_step / PROBLEM.smoothness, learn_steps=9, unlearn_steps=5, learn_noise=0, unlearn_noise=0
    )
    unlearned, reference = simulation.simulate(PROBLEM, schedule, 0, 3, 0)
    laws = langevin.exact_laws(PROBLEM, schedule, 0)
    np.testing.assert_allclose(unlearned, np.tile(laws.mean_p, (3, 1, 1)), rtol=1e-12)
    np.testing.assert_allclose(reference, np.tile(laws.mean_q, (3, 1, 1)), rtol=1e-12)


def test_blocks_of_runs_draw_fresh_noise(monkeypatch):
    monkeypatch.setattr(simulation, "_BLOCK_ENTRIES", 14)  # two runs at a time
    unlearned, reference = simulation.simulate(PROBLEM, SCHEDULE, 1, 7, 3)
    assert len(np.unique(np.concatenate([unlearned, reference]))) == 2 * unlearned.size
    silent = Schedule(step_size=0.1, learn_steps=4, unlearn_steps=3, learn_noise=0, unlearn_noise=0)
    blocks = simulation.simulate(PROBLEM, silent, 1, 7, 3)
    monkeypatch.undo()
    for block, whole in zip(blocks, simulation.simulate(PROBLEM, silent, 1, 7, 3), strict=True):
        np.testing.assert_allclose(block, whole, rtol=1e-14)


def test_a_seed_is_a_generator():
    first = simulation.simulate(PROBLEM, SCHEDULE, 1, 4, 5)
    second = simulation.simulate(PROBLEM, SCHEDULE, 1, 4, np.random.default_rng(5))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, simulation.simulate(PROBLEM, SCHEDULE, 1, 4, 6))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"index": 3}, ValueError, "index = 3: must be below 3"),
        ({"runs": 0}, ValueError, "runs = 0: must be at least 1"),
        ({"runs": 10.0}, TypeError, "runs = 10.0: must be an integer"),
        ({"rng": None}, TypeError, "rng = None: must be an integer"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        simulation.simulate(PROBLEM, SCHEDULE, **{"index": 0, "runs": 2, "rng": 0, **arguments})
