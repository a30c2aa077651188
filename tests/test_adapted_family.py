"""A plan of one's own before the court: honest ones survive, peeking is told, a bound without its tail is refuted."""

import numpy as np

from bounds import gaussian_dp
from bounds.adapted_plans import Contracting
from paper_checks import falsify


def test_an_honest_plan_survives_and_one_that_peeks_is_told_so():
    found = falsify(lambda instance: instance.promise(Contracting(0.7)), family="adapted", trials=40)
    assert found.status == "survived" and found.closest <= 1

    def peeks(step):
        return step.gap - step.noise_std[step.number] * step.past[step.number]

    told = falsify(lambda instance: instance.promise(peeks), family="adapted", trials=40)
    assert told.status == "invalid" and "PeekError" in told.note and "may know the noise" in told.note


def test_a_bound_from_the_mean_budget_alone_is_refuted():
    def mean_only(instance):
        return gaussian_dp.delta(float(np.sqrt(instance.budgets(Contracting(0.9)).mean())), instance.epsilon)

    found = falsify(mean_only, family="adapted", trials=400)
    assert found.status == "refuted" and found.counterexample.certified
