"""Runs: the order of a step, batches, fresh noise, seeds, checkpoints, and many runs side by side."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch")

from torch_cases import DEVICES, classification, small_network  # noqa: E402

from torch_bridge import (  # noqa: E402
    Examples,
    FullBatch,
    Phase,
    Plan,
    PoissonBatches,
    Record,
    ShuffledBatches,
    Start,
    StepRule,
    check_implementation,
    gradient_norms,
    project,
    train,
)
from torch_bridge.batches import Batch  # noqa: E402
from torch_bridge.gradients import example_gradients  # noqa: E402
from torch_bridge.randomness import generators  # noqa: E402
from torch_bridge.steps import one_cycle  # noqa: E402
from torch_bridge.training import one_step  # noqa: E402

FALSE_ALARM = 1e-8
BATCHES = {
    "full": FullBatch(),
    "shuffled": ShuffledBatches(size=4),
    "poisson": PoissonBatches(rate=0.4),
}


def noisy_plan(batches, steps=12, **changes) -> Plan:
    rule = StepRule(step_size=0.3, penalty=0.1, noise_std=0.05, clip=0.2)
    return Plan(phases=(Phase(steps=steps, rule=replace(rule, **changes), batches=batches),), start=Start(kind="fresh"))


# ------------------------------------------------------------------------------------------------ the step itself


def test_gradient_clipping_step_by_hand() -> None:
    """x - g (clipped gradient + l x) + s xi: global norm, penalty outside the clip, noise not multiplied by g."""
    rule = StepRule(step_size=0.5, penalty=0.2, noise_std=3.0, clip=5.0)
    x = torch.tensor([[10.0, 20.0, 30.0]], dtype=torch.float64)
    gradient = torch.tensor([[6.0, 8.0, 0.0]], dtype=torch.float64)  # norm 10: halved
    moved = rule.move(x, gradient)
    torch.testing.assert_close(moved, torch.tensor([[10 - 0.5 * 5, 20 - 0.5 * 8, 30 - 0.5 * 6.0]]).double())
    normal = torch.tensor([[1.0, -1.0, 2.0]]).double()
    torch.testing.assert_close(rule.add_noise(moved, normal), moved + 3 * normal)
    small = torch.tensor([[0.3, 0.4, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(rule.move(x, small), 0.9 * x - 0.5 * small)


def test_model_clipping_projects_everything_before_the_noise() -> None:
    rule = StepRule(step_size=1.0, penalty=0.5, noise_std=2.0, radius=1.0)
    moved = rule.move(torch.tensor([[6.0, 0.0]]).double(), torch.tensor([[0.0, -4.0]]).double())
    torch.testing.assert_close(moved, torch.tensor([[0.6, 0.8]]).double())
    torch.testing.assert_close(rule.add_noise(moved, torch.ones(1, 2).double()), moved + 2.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_projection_never_leaves_the_ball_and_leaves_the_inside_alone(dtype) -> None:
    rows = torch.randn((2000, 37), generator=torch.Generator().manual_seed(1), dtype=dtype) * 3
    radius = 17.3
    norms = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    found = project(rows, radius)
    assert bool((torch.linalg.vector_norm(found, dim=1, dtype=torch.float64) <= radius).all())
    inside = norms <= radius
    assert 0 < int(inside.sum()) < 2000
    assert torch.equal(found[inside], rows[inside])
    torch.testing.assert_close(found[~inside], rows[~inside] * (radius / norms[~inside, None]).to(dtype))
    assert torch.equal(project(torch.zeros(1, 3), 1.0), torch.zeros(1, 3))


def test_langevin_converts_the_temperature() -> None:
    rule = StepRule.langevin(step_size=0.02, temperature=0.3)
    assert rule.noise_std == pytest.approx(math.sqrt(2 * 0.02 * 0.09), rel=1e-15)


def test_one_cycle_rises_and_falls_linearly() -> None:
    sizes = np.array(one_cycle(8, 0.4))
    np.testing.assert_allclose(sizes[:2], [0.2, 0.4])
    np.testing.assert_allclose(np.diff([*sizes[1:], 0.0]), -0.4 / 7)
    assert sizes.min() > 0.0
    for steps in (0, 1, 2, 3, 50):
        assert len(one_cycle(steps, 0.1)) == steps
    assert one_cycle(1, 0.1) == (0.1,)


# -------------------------------------------------------------------------------------------- runs side by side


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", BATCHES)
def test_a_run_is_the_same_alone_and_in_company(kind, device) -> None:
    network, examples = small_network(device), classification(13, (4,), seed=1)
    plan = noisy_plan(BATCHES[kind])
    together = train(network, examples, plan, seeds=[5, 6, 7]).vectors
    for row, seed in zip(together, [5, 6, 7], strict=True):
        alone = train(network, examples, plan, seeds=[seed]).vectors[0]
        torch.testing.assert_close(alone, row, rtol=1e-10, atol=1e-12)
    assert float((together[0] - together[1]).norm()) > 0.1


@pytest.mark.parametrize("kind", BATCHES)
def test_the_result_depends_on_the_arguments_alone(kind) -> None:
    network, examples = small_network(), classification(13, (4,), seed=1)
    first = train(network, examples, noisy_plan(BATCHES[kind]), seeds=[3, 4])
    torch.manual_seed(99)
    again = train(network, examples, noisy_plan(BATCHES[kind]), seeds=[3, 4])
    assert torch.equal(first.vectors, again.vectors)


@pytest.mark.parametrize("kind", ["full", "poisson"])
def test_members_are_the_same_as_taking_the_rows_out(kind) -> None:
    network, examples = small_network(), classification(10, (4,), seed=1)
    members = torch.ones((2, 10), dtype=torch.bool)
    members[0, 3] = members[1, 7] = members[1, 0] = False
    plan = noisy_plan(BATCHES[kind], clip=None)  # a clip would hide the size of a mean
    found = train(network, examples, plan, seeds=[1, 2], members=members).vectors
    for r in range(2):
        smaller = examples.take(members[r])
        alone = train(network, smaller, plan, seeds=[r + 1]).vectors[0]
        torch.testing.assert_close(found[r], alone, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="equally many"):
        train(network, examples, noisy_plan(BATCHES["shuffled"]), seeds=[1, 2], members=members)


def test_a_whole_run_by_hand() -> None:
    """Full batch, no noise: a plain loop over autograd gradients gives the same numbers."""
    network, examples = small_network(), classification(9, (4,), seed=1)
    rule = StepRule(step_size=[0.5, 0.4, 0.3], penalty=0.1, clip=0.1)
    start = network.initial(0)
    found = train(network, examples, Plan(phases=(Phase(steps=3, rule=rule),)), seeds=[0], starts=start).vectors[0]
    x = start
    for step_size in (0.5, 0.4, 0.3):
        mean = example_gradients(network, x, examples).mean(dim=0)
        norm = float(mean.norm())
        assert norm > 0.1  # the clip is at work
        x = x - step_size * (mean * 0.1 / norm + 0.1 * x)
    torch.testing.assert_close(found, x, rtol=1e-11, atol=1e-12)


def test_dp_sgd_clips_examples_and_divides_by_the_public_number() -> None:
    network, examples = small_network(), classification(9, (4,), seed=1)
    start = network.initial(0)
    rule = StepRule(step_size=1.0, example_clip=0.05)
    phase = Phase(steps=1, rule=rule, batches=PoissonBatches(rate=1.0, divisor=4.0))
    found = train(network, examples, Plan(phases=(phase,)), seeds=[0], starts=start).vectors[0]
    gradients = example_gradients(network, start, examples)
    clipped = sum(g * min(1.0, 0.05 / float(g.norm())) for g in gradients)
    torch.testing.assert_close(found, start - clipped / 4.0)


# ------------------------------------------------------------------------------------------------------- batches


def test_shuffled_batches_are_epochs_in_fresh_order() -> None:
    examples = Examples(torch.arange(10.0), torch.arange(10))
    members = torch.ones((2, 10), dtype=torch.bool)
    members[:, 4] = False
    sources = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    sampler = ShuffledBatches(size=4).sampler(examples, members, sources)
    epochs = []
    for _ in range(2):
        batches = [sampler.draw() for _ in range(3)]
        assert [batch.weights.shape[1] for batch in batches] == [4, 4, 1]
        for batch in batches:
            torch.testing.assert_close(batch.weights.sum(dim=1), torch.ones(2, dtype=torch.float64))
        epochs.append(torch.cat([batch.examples.targets for batch in batches], dim=1))
        assert torch.equal(epochs[-1].sort(dim=1).values, torch.tensor([[0, 1, 2, 3, 5, 6, 7, 8, 9]]).expand(2, 9))
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0][0], epochs[0][1])
    summed = ShuffledBatches(size=3, reduction="sum").sampler(examples, members, sources).draw()
    torch.testing.assert_close(summed.weights, torch.full((2, 3), 3.0, dtype=torch.float64))


@pytest.mark.statistical
def test_poisson_batches_hold_every_example_at_the_rate_on_its_own() -> None:
    """With 4,000 draws an inclusion rate off by 0.05 of 0.3, or a correlation of 0.1, would be seen."""
    examples = Examples(torch.arange(6.0), torch.arange(6))
    sampler = PoissonBatches(rate=0.3).sampler(
        examples, torch.ones((1, 6), dtype=torch.bool), [torch.Generator().manual_seed(3)]
    )
    draws, rate = 4000, 0.3
    taken = np.zeros((draws, 6), dtype=bool)
    for draw in range(draws):
        batch = sampler.draw()
        present = batch.weights[0] > 0
        assert torch.allclose(batch.weights[0][present], torch.tensor(1 / (rate * 6), dtype=torch.float64))
        taken[draw, batch.examples.targets[0][present].numpy()] = True
    share = FALSE_ALARM / (2 * (6 + 15))
    for counted, chance in [
        *((taken[:, i].sum(), rate) for i in range(6)),
        *((np.sum(taken[:, i] & taken[:, j]), rate**2) for i in range(6) for j in range(i)),
    ]:
        assert stats.binom.isf(1 - share, draws, chance) <= counted <= stats.binom.isf(share, draws, chance)


# --------------------------------------------------------------------------------------------------------- noise


def zero_gradient_noise(steps: int, device: str = "cpu", **changes):
    """Positions along a run whose loss is flat: nothing moves them but noise and penalty."""
    network, examples = small_network(device), classification(6, (4,), seed=1)
    flat = type(network)(network.module(network.parameters()), lambda o, t: 0.0 * o.sum(dim=1), device=device)
    rule = StepRule(**{"step_size": 0.5, "noise_std": 2.0, "penalty": 0.4, **changes})
    plan = Plan(phases=(Phase(steps=steps, rule=rule),), start=Start(kind="zero"))
    run = train(flat, examples, plan, seeds=range(40), records={"at": Record(lambda v: v.clone())})
    return run.records["at"].numpy(), rule


@pytest.mark.statistical
@pytest.mark.parametrize("device", DEVICES)
def test_noise_is_fresh_in_every_step_and_of_the_right_size(device) -> None:
    """Correlations of 0.18 within a run's 51 parameters x 40 runs, and a std off by 4 %, would be seen."""
    at, _ = zero_gradient_noise(6, device)
    noise = (at[1:] - 0.8 * at[:-1]) / 2.0  # (steps, runs, d)
    flat = noise.reshape(6, -1)
    count = flat.shape[1]
    tests = 15 + 1 + 6
    for i in range(6):
        low, high = stats.chi2.ppf(FALSE_ALARM / tests / 2, count), stats.chi2.isf(FALSE_ALARM / tests / 2, count)
        assert low <= np.sum(flat[i] ** 2) <= high
        for j in range(i):
            correlation = flat[i] @ flat[j] / np.linalg.norm(flat[i]) / np.linalg.norm(flat[j])
            assert correlation**2 <= stats.beta.isf(FALSE_ALARM / tests, 0.5, (count - 1) / 2)
    # after six steps the spread is sigma sqrt(1 + rho^2 + ...): 1.63 sigma, where one vector re-used gives 3.69
    gain = 4.0 * np.sum(0.64 ** np.arange(6))
    low, high = stats.chi2.ppf(FALSE_ALARM / tests / 2, count), stats.chi2.isf(FALSE_ALARM / tests / 2, count)
    assert low <= np.sum(at[-1] ** 2) / gain <= high


def test_runs_and_streams_share_no_noise() -> None:
    at, _ = zero_gradient_noise(1)
    rows = at[1]
    gram = np.abs(np.corrcoef(rows)) - np.eye(len(rows))
    assert gram.max() < 0.8


def test_calls_that_continue_share_no_noise_with_those_they_continue() -> None:
    """Learning and unlearning with one seed: the same noise twice would be a fault of the kind that is looked for."""
    network, examples = small_network(), classification(6, (4,), seed=1)
    rule = StepRule(step_size=0.0, noise_std=1.0)
    phase = Phase(steps=1, rule=rule)
    origin = torch.zeros(network.size, dtype=torch.float64)

    def noise(start, **stage):
        starts = origin if start.kind == "given" else None
        return train(network, examples, Plan(phases=(phase,), start=start), seeds=[3], starts=starts, **stage).vectors[
            0
        ]

    drawn = torch.stack(
        [noise(Start(kind="zero")), noise(Start()), noise(Start(), stage="a"), noise(Start(), stage="b")]
    )
    gram = torch.corrcoef(drawn) - torch.eye(4)
    assert float(gram.abs().max()) < 0.75
    assert torch.equal(noise(Start(), stage="a"), drawn[2])


@pytest.mark.statistical
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "rule",
    [
        StepRule(step_size=0.3, penalty=0.5, noise_std=1.0, clip=1.0),
        StepRule(step_size=0.3, penalty=0.5, noise_std=1.0, radius=1.0),
        StepRule(step_size=0.3, noise_std=1.0, example_clip=1.0),
    ],
    ids=["gradient clipping", "model clipping", "dp-sgd"],
)
def test_the_trainer_passes_its_own_checks(rule, device) -> None:
    network = small_network(device)

    def begin(rule, seed):
        sources = generators([seed], "noise", network.device)

        def step(vector, inputs, targets):
            weights = torch.full((1, len(inputs)), 1 / len(inputs), dtype=torch.float64, device=vector.device)
            batch = Batch(Examples(inputs, targets), weights, False)
            return one_step(network, Phase(steps=1, rule=rule), vector[None], batch, 0, sources)[0]

        return step

    found = check_implementation(begin, rule, network, classification(3, (4,), seed=3))
    assert found.passed, str(found)


def test_the_start_is_projected_and_then_noisy() -> None:
    network, examples = small_network(), classification(6, (4,), seed=1)
    start = 10 * network.initial(0)
    quiet = train(network, examples, Plan(phases=(), start=Start(radius=2.0)), seeds=[1], starts=start).vectors[0]
    torch.testing.assert_close(quiet, start * 2.0 / start.norm())
    noisy = train(network, examples, Plan(phases=(), start=Start(radius=2.0, noise_std=5.0)), seeds=[1], starts=start)
    assert float((noisy.vectors[0] - quiet).norm()) == pytest.approx(5 * math.sqrt(network.size), rel=0.5)
    with pytest.raises(ValueError, match="needs starts"):
        train(network, examples, Plan(phases=()), seeds=[1])
    with pytest.raises(ValueError, match="takes no starts"):
        train(network, examples, Plan(phases=(), start=Start(kind="zero")), seeds=[1], starts=start)


# ------------------------------------------------------------------------------------------- records, checkpoints


def test_gradient_norms_are_recorded_before_the_steps_they_belong_to() -> None:
    network, examples = small_network(), classification(8, (4,), seed=1)
    chosen = examples.take(torch.tensor([2, 5]))
    records = {
        "norms": Record(lambda v: gradient_norms(network, v, chosen), every=2),
        "at": Record(lambda v: v.clone()),
    }
    run = train(network, examples, noisy_plan(FullBatch(), steps=5), seeds=[1, 2], records=records)
    assert run.record_steps["norms"].tolist() == [0, 2, 4]
    assert run.record_steps["at"].tolist() == [0, 1, 2, 3, 4, 5]
    torch.testing.assert_close(run.records["at"][-1], run.vectors)
    for s, step in enumerate([0, 2, 4]):
        expected = gradient_norms(network, run.records["at"][step], chosen)
        torch.testing.assert_close(run.records["norms"][s], expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", BATCHES)
def test_a_run_resumed_anywhere_is_the_run_not_interrupted(kind, device, tmp_path) -> None:
    network, examples = small_network(device), classification(13, (4,), seed=1)
    first = noisy_plan(BATCHES[kind], steps=7)
    plan = Plan(
        phases=(*first.phases, Phase(steps=6, rule=StepRule(step_size=0.1), batches=BATCHES[kind])), start=first.start
    )
    records = {"at": Record(lambda v: v.clone(), every=2)}
    whole = train(network, examples, plan, seeds=[1, 2], records=records)
    for stop in (1, 6, 7, 8, 12):
        path = tmp_path / f"{stop}.pt"

        class Stopped(Exception):
            pass

        def interrupt(done: int, total: int, stop: int = stop) -> None:
            assert total == 13
            if done == stop:
                raise Stopped

        arguments = {"seeds": [1, 2], "records": records, "checkpoint": path, "checkpoint_every": 1}
        with pytest.raises(Stopped):
            train(network, examples, plan, progress=interrupt, **arguments)
        seen: list[tuple[int, int]] = []
        resumed = train(network, examples, plan, progress=lambda *counts, into=seen: into.append(counts), **arguments)
        assert seen == [(done, 13) for done in range(stop + 1, 14)]
        assert torch.equal(resumed.vectors, whole.vectors)
        assert torch.equal(resumed.records["at"], whole.records["at"])
        assert torch.equal(resumed.record_steps["at"], whole.record_steps["at"])
        # once finished, nothing is left to do
        assert torch.equal(
            train(network, examples, plan, progress=lambda *_: 1 / 0, **arguments).vectors, whole.vectors
        )
    assert not list(tmp_path.glob("*.part"))


def test_checkpoints_of_other_runs_and_damaged_ones_are_refused(tmp_path) -> None:
    network, examples = small_network(), classification(13, (4,), seed=1)
    path = tmp_path / "run.pt"
    plan = noisy_plan(FullBatch(), steps=2)
    train(network, examples, plan, seeds=[1], checkpoint=path)
    for other in (
        {"seeds": [2]},
        {"plan": noisy_plan(FullBatch(), steps=2, noise_std=0.06)},
        {"examples": classification(13, (4,), seed=2)},
    ):
        arguments = {"plan": plan, "seeds": [1], "examples": examples, **other}
        with pytest.raises(ValueError, match="another run"):
            train(network, arguments["examples"], arguments["plan"], seeds=arguments["seeds"], checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="undamaged"):
        train(network, examples, plan, seeds=[1], checkpoint=path)


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


def test_checkpoints_run_no_code(tmp_path, capsys) -> None:
    path = tmp_path / "run.pt"
    torch.save({"format": 1, "vectors": Malicious()}, path)
    with pytest.raises(ValueError, match="undamaged"):
        train(small_network(), classification(5, (4,), seed=1), noisy_plan(FullBatch()), seeds=[1], checkpoint=path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"seeds": []}, "at least one"),
        ({"seeds": [-1]}, "seeds = -1"),
        ({"members": torch.zeros(13, dtype=torch.bool)}, "at least one example"),
        ({"members": torch.ones(12, dtype=torch.bool)}, "must be a mask"),
        ({"examples": classification(13, (4,), seed=1, dtype=torch.float32)}, "must be torch.float64"),
        ({"plan": noisy_plan(FullBatch(), clip=None, step_size=1e200, penalty=0.0)}, "finite numbers"),
    ],
)
def test_runs_are_refused_with_the_rule(change, rule) -> None:
    arguments = {"examples": classification(13, (4,), seed=1), "plan": noisy_plan(FullBatch()), "seeds": [1], **change}
    with pytest.raises((ValueError, FloatingPointError), match=rule):
        train(small_network(), arguments.pop("examples"), arguments.pop("plan"), **arguments)


@pytest.mark.parametrize("name", ["step_size", "noise_std", "penalty", "clip", "radius", "example_clip"])
def test_rules_refuse_by_name(name) -> None:
    with pytest.raises(ValueError, match=name):
        StepRule(**{"step_size": 0.1, name: -1.0})
    with pytest.raises(ValueError, match="one per step"):
        Phase(steps=3, rule=StepRule(step_size=[0.1, 0.2]))
