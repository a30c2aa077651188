"""Every planted fault is found by the check made for it, and the checks are silent on right loops."""

import numpy as np
import pytest
from scipy import integrate, stats

torch = pytest.importorskip("torch")

from torch_cases import DEVICES, classification, small_network  # noqa: E402

from torch_bridge import Examples, StepRule, check_implementation  # noqa: E402
from torch_bridge.faults import FAULTS, training_loop  # noqa: E402
from torch_bridge.gradients import clipped_sum  # noqa: E402

CLIPPING = StepRule(step_size=0.3, penalty=0.5, noise_std=1.0, clip=1.0)
MODEL = StepRule(step_size=0.3, penalty=0.5, noise_std=1.0, radius=1.0)
DP_SGD = StepRule(step_size=0.3, penalty=0.0, noise_std=1.0, example_clip=1.0)
RULES = {"gradient clipping": CLIPPING, "model clipping": MODEL, "dp-sgd": DP_SGD}
OF_MODEL_CLIPPING = {"noise_before_projection", "project_per_tensor", "project_to_sphere"}


def report(fault, rule, *, device="cpu", dtype=torch.float64, reduction="mean", **options):
    network = small_network(device, dtype)
    examples = classification(3, (4,), seed=3, dtype=dtype)
    return check_implementation(
        training_loop(network, fault, reduction=reduction), rule, network, examples, reduction=reduction, **options
    )


@pytest.mark.statistical
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", RULES)
def test_the_right_loop_passes(name, device) -> None:
    for dtype, steps in ((torch.float64, 24), (torch.float32, None)):
        found = report(None, RULES[name], device=device, dtype=dtype, steps=steps, false_alarm=5e-9)
        assert found.passed, str(found)
    expected = {"deterministic", "memory", "gradient", "reduction", "noise_size", "noise_every_tensor"}
    expected |= {"noise_across_tensors", "noise_fresh", "noise_per_run", "noise_normal"}
    expected |= {"gradient clipping": {"clip", "penalty"}, "model clipping": {"penalty", "projection"}}.get(
        name, {"clip"}
    )
    expected |= {"noise_after_projection"} if name == "model clipping" else set()
    assert {finding.name for finding in found.findings} == expected


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found_by_its_check(fault) -> None:
    rule = MODEL if fault in OF_MODEL_CLIPPING else CLIPPING
    found = report(fault, rule, steps=400 if fault == "noise_uniform" else 24)
    assert FAULTS[fault] in found.failures, str(found)
    # A fault is not reported as everything: the deterministic checks and the noise checks do not disturb each other.
    about_noise = {name for name in found.failures if name.startswith("noise") or name == "deterministic"}
    if fault.startswith("noise"):
        assert about_noise == set(found.failures), str(found)
    elif fault != "momentum":
        assert not about_noise, str(found)


@pytest.mark.parametrize("fault", ["clip_per_tensor", "no_clip", "sum_for_mean"])
def test_faults_of_dp_sgd_are_found(fault) -> None:
    assert FAULTS[fault] in report(fault, DP_SGD, steps=4).failures


def test_mean_for_sum_is_found() -> None:
    """A loop that averages where its accounting adds up, and the other way round."""
    assert report(None, CLIPPING, reduction="sum", steps=4).passed
    for given, meant, ratio in (("mean", "sum", "1 times"), ("sum", "mean", "2 times")):
        network = small_network()
        examples = classification(5, (4,), seed=3)
        loop = training_loop(network, reduction=given)
        found = check_implementation(loop, CLIPPING, network, examples, reduction=meant, steps=4)
        assert {"reduction", "gradient"} <= set(found.failures)
        assert ratio in found["reduction"].seen


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        ("noise_times_step_size", "multiplied by the step size"),
        ("noise_variance", "variance is used"),
        ("noise_langevin", "Langevin"),
    ],
)
def test_the_size_check_says_what_the_size_looks_like(fault, hint) -> None:
    assert hint in report(fault, CLIPPING, steps=24)["noise_size"].seen


def test_the_reseeded_generator_is_found_with_long_epochs_too() -> None:
    """With `epoch` the run is made long enough; without it a repetition after 400 steps is not reached."""
    network, examples = small_network(), classification(3, (4,), seed=3)

    def begin(rule, seed):
        right, made = training_loop(network)(rule, seed), 0

        def step(vector, inputs, targets):
            nonlocal right, made
            if made == 40:
                right, made = training_loop(network)(rule, seed), 0
            made += 1
            return right(vector, inputs, targets)

        return step

    assert check_implementation(begin, CLIPPING, network, examples, steps=24).passed
    assert "noise_fresh" in check_implementation(begin, CLIPPING, network, examples, steps=24, epoch=40).failures


@pytest.mark.statistical
def test_false_alarms_are_as_rare_as_promised_and_small_faults_are_seen_as_promised() -> None:
    """At a false-alarm probability of 1/2 the right loop fails at most about that often; and a deviation as large as the
    finding says it would see is seen nearly always."""
    network = small_network()
    examples = Examples(torch.zeros((2, 4)).double(), torch.tensor([0, 1]))

    def begin_off(factor):
        def begin(rule, seed):
            source = torch.Generator().manual_seed(seed)

            def step(vector, inputs, targets):
                normal = torch.empty_like(vector).normal_(generator=source)
                weights = torch.full((1, len(inputs)), 1 / len(inputs)).double()
                gradient = clipped_sum(network, vector[None], Examples(inputs, targets), weights, 1e12)
                return rule.move(vector[None], gradient)[0] + factor * rule.noise_std * normal

            return step

        return begin

    rule = StepRule(step_size=0.3, noise_std=1.0)
    alarms = 0
    for seed in range(40):
        found = check_implementation(begin_off(1.0), rule, network, examples, steps=6, false_alarm=0.5, seed=100 * seed)
        alarms += not found.passed
    assert alarms <= stats.binom.isf(1e-8, 40, 0.5)
    width = float(found["noise_size"].would_see.split()[-1].rstrip("%")) / 100
    seen = 0
    for seed in range(40):
        found = check_implementation(
            begin_off(1 + width), rule, network, examples, steps=6, false_alarm=0.5, seed=100 * seed
        )
        seen += not found["noise_size"].passed
    assert seen >= stats.binom.ppf(1e-8, 40, 0.97)


def test_the_distances_quoted_for_other_noise_are_right() -> None:
    grid = np.linspace(-5, 5, 200_001)
    for law, distance in ((stats.uniform(-(3**0.5), 2 * 3**0.5), 0.057), (stats.laplace(scale=0.5**0.5), 0.062)):
        assert integrate.quad(lambda x, law=law: x**2 * law.pdf(x), -20, 20, points=[-(3**0.5), 3**0.5])[
            0
        ] == pytest.approx(1)
        assert np.max(np.abs(law.cdf(grid) - stats.norm.cdf(grid))) == pytest.approx(distance, abs=5e-4)


def test_loops_are_refused_with_the_rule() -> None:
    network, examples = small_network(), classification(3, (4,), seed=3)
    with pytest.raises(TypeError, match="makes one step"):
        check_implementation(lambda rule, seed: None, CLIPPING, network, examples)
    with pytest.raises(TypeError, match="must be a tensor of shape"):
        check_implementation(lambda rule, seed: lambda v, x, y: v[:3], CLIPPING, network, examples)
    with pytest.raises(FloatingPointError, match="not finite"):
        check_implementation(lambda rule, seed: lambda v, x, y: v / 0, CLIPPING, network, examples)
    with pytest.raises(ValueError, match="at least 2"):
        check_implementation(training_loop(network), CLIPPING, network, examples.take(torch.tensor([0])))
    with pytest.raises(ValueError, match="must be constant"):
        check_implementation(training_loop(network), StepRule(step_size=[0.1]), network, examples)
    with pytest.raises(ValueError, match="must be None or one of"):
        training_loop(network, "typo")
