"""A module as functions of one vector: gradients as autograd gives them one by one, and what is refused."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch_cases import DEVICES, Convolutional, classification, small_network  # noqa: E402

from torch_bridge import Examples, Network, example_gradients, gradient_norms, models  # noqa: E402
from torch_bridge import network as network_module  # noqa: E402
from torch_bridge.gradients import clipped_sum  # noqa: E402

CASES = {
    "mlp": (lambda: models.mlp(4, 6, 3), (4,)),
    "convolutional": (Convolutional, (1, 4, 4)),
    "cifar": (lambda: models.cifar_net(3), (3, 8, 8)),
    "frozen": (lambda: frozen_first(), (4,)),
}


def frozen_first() -> nn.Module:
    module = models.mlp(4, 5, 3)
    module[1].requires_grad_(False)
    return module


def sum_loss(outputs, targets):
    return functional.cross_entropy(outputs, targets, reduction="sum")


def by_autograd(network: Network, vector, inputs, target):
    """Gradient of one example by plain reverse mode on a copy of the module."""
    module = network.module(vector)
    loss = sum_loss(module(inputs[None]), target[None])
    wanted = [value for value in module.parameters() if value.requires_grad]
    return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, wanted)])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("loss", [sum_loss, models.cross_entropy], ids=["sum", "per example"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_autograd_one_by_one(case, loss, device) -> None:
    make, shape = CASES[case]
    network = Network(make(), loss, device=device, dtype=torch.float64)
    examples = classification(7, shape, seed=1).to(device)
    vectors = torch.stack([network.initial(seed) for seed in range(3)])
    expected = torch.stack(
        [torch.stack([by_autograd(network, row, x, y) for x, y in zip(*examples, strict=True)]) for row in vectors]
    )
    found = example_gradients(network, vectors, examples)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient_norms(network, vectors, examples), expected.norm(dim=2), rtol=1e-10, atol=1e-12)
    # one run, and pieces of one example each, are the same numbers
    alone = example_gradients(network, vectors[1], examples, memory=1)
    torch.testing.assert_close(alone, expected[1], rtol=1e-10, atol=1e-12)
    weights = torch.rand((3, 7), generator=torch.Generator().manual_seed(5), dtype=torch.float64).to(device)
    total = torch.einsum("rn,rnd->rd", weights, expected)
    torch.testing.assert_close(network.gradients(vectors, examples, weights), total, rtol=1e-10, atol=1e-12)
    single = network.gradients(vectors[2:], examples, weights[2:])
    torch.testing.assert_close(single, total[2:], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
def test_every_run_may_have_examples_of_its_own_and_pieces_do_not_matter(device, monkeypatch) -> None:
    network = small_network(device)
    vectors = torch.stack([network.initial(seed) for seed in range(2)])
    own = [classification(5, (4,), seed=seed).to(device) for seed in (3, 4)]
    stacked = Examples(*(torch.stack(parts) for parts in zip(*own, strict=True)))
    weights = torch.rand((2, 5), generator=torch.Generator().manual_seed(6), dtype=torch.float64).to(device)
    expected = torch.cat([network.gradients(vectors[r : r + 1], own[r], weights[r : r + 1]) for r in range(2)])
    for memory in (network_module.MEMORY, 1):
        monkeypatch.setattr(network_module, "MEMORY", memory)
        found = network.gradients(vectors, stacked, weights, batched=True)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
        one = network.gradients(vectors[:1], own[0], weights[:1])
        torch.testing.assert_close(one, expected[:1], rtol=1e-12, atol=1e-13)
        norms = torch.stack([gradient_norms(network, vectors[r], own[r]) for r in range(2)])
        torch.testing.assert_close(gradient_norms(network, vectors, stacked, batched=True), norms)
        losses = network.losses(vectors, stacked, batched=True)
        outputs = network.outputs(vectors, stacked.inputs, batched=True)
        for r in range(2):
            torch.testing.assert_close(losses[r], network.losses(vectors[r], own[r]), rtol=1e-12, atol=1e-13)
            torch.testing.assert_close(outputs[r], network.module(vectors[r])(own[r].inputs).detach())


@pytest.mark.parametrize("case", CASES)
def test_clipped_sum_clips_every_example_over_all_tensors_together(case) -> None:
    make, shape = CASES[case]
    network = Network(make(), models.cross_entropy, dtype=torch.float64)
    vectors = torch.stack([3 * network.initial(seed) for seed in range(2)])
    examples = classification(9, shape, seed=2)
    weights = torch.full((2, 9), 0.25, dtype=torch.float64)
    gradients = example_gradients(network, vectors, examples)
    clip = float(gradients.norm(dim=2).median())
    expected = torch.zeros_like(vectors)
    for r in range(2):
        for gradient in gradients[r]:
            expected[r] += 0.25 * gradient * min(1.0, clip / float(gradient.norm()))
    torch.testing.assert_close(clipped_sum(network, vectors, examples, weights, clip), expected)
    stacked = Examples(*(torch.stack([part, part]) for part in examples))
    torch.testing.assert_close(clipped_sum(network, vectors, stacked, weights, clip, batched=True), expected)
    # an example's own contribution never exceeds the clip, in single precision either
    single = Network(make(), models.cross_entropy)
    one = Examples(examples.inputs[:1].float(), examples.targets[:1])
    for factor in (1.0, 2.0):
        vector = factor * single.initial(1)[None]
        length = float(clipped_sum(single, vector, one, torch.ones(1, 1), 1e-3).double().norm())
        assert 1e-3 * (1 - 1e-5) <= length <= 1e-3


class Reused(nn.Module):
    """A linear layer applied twice, and one whose weight is also used by itself."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.first, self.last = how, nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, inputs):
        hidden = torch.relu(self.first(inputs))
        if self.how == "twice":
            hidden = torch.relu(self.first(hidden))
        outputs = self.last(hidden)
        return outputs + hidden @ self.last.weight.T if self.how == "weight" else outputs


def tied() -> nn.Module:
    module = models.mlp(4, 4, 4, 3)
    module[3].weight = module[1].weight
    return module


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("make", "short"),
    [
        (lambda: models.mlp(4, 6, 5, 3), True),
        (lambda: frozen_first(), True),
        (lambda: models.linear_model(4, 3), True),
        (lambda: Reused("once"), True),
        (lambda: Reused("twice"), False),
        (lambda: Reused("weight"), False),
        (tied, False),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)), False),
        (lambda: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 3), nn.Flatten(), nn.Linear(6, 3)), False),
    ],
    ids=["mlp", "frozen", "linear", "once", "twice", "weight", "tied", "norm", "sequence"],
)
def test_norms_take_the_short_cut_where_it_is_right_and_only_there(make, short, device) -> None:
    network = Network(make(), sum_loss, device=device, dtype=torch.float64)
    examples = classification(7, (4,), seed=1).to(device)
    vectors = torch.stack([network.initial(seed) for seed in range(3)])
    expected = example_gradients(network, vectors, examples).norm(dim=2)
    for _ in range(2):
        torch.testing.assert_close(gradient_norms(network, vectors, examples), expected, rtol=1e-10, atol=1e-12)
        assert network.fast_norms is short


def test_gradients_of_zero_decide_nothing_about_the_short_cut() -> None:
    network = Network(Reused("weight"), models.half_squared_error, dtype=torch.float64)
    vector = torch.zeros(network.size, dtype=torch.float64)
    nothing = Examples(torch.ones(3, 4).double(), torch.zeros(3, 3).double())
    assert float(gradient_norms(network, vector, nothing).max()) == 0.0
    vector, something = network.initial(0), Examples(nothing.inputs, nothing.targets + 1)
    expected = example_gradients(network, vector, something).norm(dim=1)
    torch.testing.assert_close(gradient_norms(network, vector, something), expected)


def test_initial_vectors_depend_on_the_seed_alone() -> None:
    network = small_network()
    torch.manual_seed(0)
    first = network.initial(7)
    after = torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(network.initial(7), first)
    assert not torch.equal(network.initial(8), first)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), after)  # the caller's own random numbers are left alone
    torch.testing.assert_close(network.split(first), dict(network.module(first).named_parameters()))


def test_the_module_given_is_not_changed() -> None:
    module = models.mlp(4, 6, 3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    network = Network(module, models.cross_entropy, dtype=torch.float64)
    network.gradients(network.parameters()[None], classification(3, (4,), seed=0), torch.ones((1, 3)).double())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("layer", "hint"),
    [
        (nn.BatchNorm1d(4), "GroupNorm"),
        (nn.BatchNorm1d(4, track_running_stats=False).eval(), "GroupNorm"),
        (nn.Dropout(0.5), "set p=0"),
        (nn.MultiheadAttention(4, 2, dropout=0.1), "dropout"),
        (nn.InstanceNorm1d(4, track_running_stats=True), "track_running_stats=False"),
    ],
)
def test_layers_without_gradients_of_single_examples_are_refused(layer, hint) -> None:
    with pytest.raises(ValueError, match=hint):
        Network(nn.Sequential(nn.Linear(4, 4), layer), models.cross_entropy)


def test_frozen_statistics_are_constants_and_allowed() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)).double().eval()
    network = Network(module, models.cross_entropy)
    examples = classification(4, (4,), seed=3)
    found = example_gradients(network, network.parameters(), examples)
    expected = torch.stack([by_autograd(network, network.parameters(), x, y) for x, y in zip(*examples, strict=True)])
    torch.testing.assert_close(found, expected)


class Centred(nn.Module):
    """A batch-coupled layer that no list of names knows."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, inputs):
        outputs = self.linear(inputs)
        return outputs - outputs.mean(dim=0)


def test_mixing_and_averaging_are_refused_at_first_use() -> None:
    examples = classification(5, (4,), seed=3, dtype=torch.float32)
    vector = torch.zeros(15) + 0.1
    with pytest.raises(ValueError, match="rest of the batch"):
        mixed = Network(Centred(), models.cross_entropy)
        gradient_norms(mixed, mixed.parameters(), examples)
    with pytest.raises(ValueError, match="sum-reduced"):
        Network(nn.Linear(4, 3), nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match="never a mean"):
        gradient_norms(Network(nn.Linear(4, 3), functional.cross_entropy), vector, examples)
    with pytest.raises(ValueError, match="one number per example"):
        gradient_norms(Network(nn.Linear(4, 3), lambda o, t: o), vector, examples)
    with pytest.raises(ValueError, match="never a mean"):
        gradient_norms(Network(nn.Linear(4, 3), functional.cross_entropy), vector, examples.take(torch.tensor([0])))
    fitted = Network(nn.Linear(4, 3, bias=False), functional.mse_loss)
    nothing, something = (Examples(torch.ones(3, 4), value * torch.ones(3, 3)) for value in (0.0, 1.0))
    gradient_norms(fitted, torch.zeros(12), nothing)  # losses of zero do not show how they are reduced
    with pytest.raises(ValueError, match="never a mean"):
        gradient_norms(fitted, torch.zeros(12), something)
    Network(nn.Linear(4, 3), nn.CrossEntropyLoss(reduction="sum")).gradients(vector[None], examples, torch.ones((1, 5)))


def test_modules_are_refused_with_the_rule() -> None:
    with pytest.raises(TypeError, match="must be a torch"):
        Network(lambda x: x, models.cross_entropy)
    with pytest.raises(ValueError, match="requires a gradient"):
        Network(nn.Linear(2, 2).requires_grad_(False), models.cross_entropy)

    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))

    with pytest.raises(TypeError, match="no reset_parameters"):
        Network(Bare(), models.cross_entropy).initial(0)
