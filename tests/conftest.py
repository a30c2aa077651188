"""Shared test settings: deterministic hypothesis, and one false-alarm budget for everything statistical."""

from hypothesis import HealthCheck, settings

# All statistical tests of the suite share this probability of a false alarm; each takes FALSE_ALARM / 100.
FALSE_ALARM = 1e-6
STATISTICAL_TESTS_AT_MOST = 100

settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("suite")


def pytest_collection_modifyitems(items):
    """Every statistical test takes 1e-8; more of them than the budget pays for is an error of the suite."""
    statistical = [item for item in items if item.get_closest_marker("statistical")]
    if len(statistical) > STATISTICAL_TESTS_AT_MOST:
        raise RuntimeError(f"{len(statistical)} statistical tests: the budget {FALSE_ALARM:g} pays for 100")
