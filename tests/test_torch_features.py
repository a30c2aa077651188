"""Features of a torch model, all the way to a certificate of the ridge head on them."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("flint")  # `linear` needs it

from torch import nn  # noqa: E402
from torch_cases import DEVICES, classification  # noqa: E402

from linear import datasets  # noqa: E402
from paper_checks import cli  # noqa: E402
from torch_bridge import Examples, models  # noqa: E402
from torch_bridge.features import extract_features, save_features  # noqa: E402


def backbone() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3))
    module(torch.randn(50, 4))  # statistics of its own
    return module


@pytest.mark.parametrize("device", DEVICES)
def test_features_are_the_layers_output_in_evaluation_mode(device) -> None:
    module, examples = backbone(), classification(20, (4,), seed=1, dtype=torch.float32)
    features, targets = extract_features(module, examples, layer="3", batch_size=7, device=device)
    assert module.training  # the caller's model is left alone
    with torch.no_grad():
        expected = module.eval()[:4](examples.inputs)
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(targets, examples.targets.numpy())
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*examples), batch_size=6)
    again, _ = extract_features(module, loader, layer="3", device=device)
    np.testing.assert_allclose(again, features, rtol=1e-5, atol=1e-6)
    whole, _ = extract_features(module, examples)
    np.testing.assert_allclose(whole, module(examples.inputs).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_images_are_flattened() -> None:
    examples = classification(3, (3, 8, 8), seed=1, dtype=torch.float32)
    features, _ = extract_features(models.cifar_net(), examples, layer="2")
    assert features.shape == (3, 32 * 4 * 4)


@pytest.mark.parametrize("scaling", ["none", "unit_rows", "unit_ball"])
def test_the_archive_is_what_linear_reads(scaling, tmp_path) -> None:
    train, test = (classification(n, (4,), seed=n, dtype=torch.float32) for n in (20, 6))
    features, _ = extract_features(models.RandomFeatures(4, 16), train)
    path = save_features(tmp_path / "features.npz", models.RandomFeatures(4, 16), train, test, scaling=scaling)
    data = datasets.load(str(path))
    assert data.classes.tolist() == [0, 1, 2]
    assert data.train_features.shape == (20, 16) and data.test_features.shape == (6, 16)
    norms = np.linalg.norm(data.train_features, axis=1)
    own = np.linalg.norm(features, axis=1)
    expected = {"none": own, "unit_rows": np.ones(20), "unit_ball": own / own.max()}[scaling]
    np.testing.assert_allclose(norms, expected, rtol=1e-6)
    if scaling == "unit_ball":  # the test rows share the training rows' scale
        raw, _ = extract_features(models.RandomFeatures(4, 16), test)
        np.testing.assert_allclose(data.test_features, raw / own.max(), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        data.train_features / norms[:, None], features / own[:, None], rtol=1e-6, atol=1e-7
    )  # directions are never touched
    assert [entry.name for entry in tmp_path.iterdir()] == ["features.npz"]


def test_regression_targets_stay_numbers(tmp_path) -> None:
    examples = Examples(torch.randn(9, 4), torch.randn(9, 2))
    data = datasets.load(save_features(tmp_path / "features.npz", models.RandomFeatures(4, 5), examples))
    np.testing.assert_allclose(data.train_targets, examples.targets.numpy(), rtol=1e-6)


def test_round_trip_through_the_certify_command(tmp_path, capsys) -> None:
    examples = classification(40, (4,), seed=2, dtype=torch.float32)
    save_features(tmp_path / "features.npz", models.RandomFeatures(4, 12), examples)
    out, quick = tmp_path / "certificate.json", ["--steps", "20", "--unlearn-steps", "5"]
    assert (
        cli.main(["certify", "--data", str(tmp_path / "features.npz"), "--index", "0", "--out", str(out), *quick]) == 0
    )
    capsys.readouterr()
    assert 0 < json.loads(out.read_text())["epsilon"] < 1e6


def test_refusals_name_the_rule(tmp_path) -> None:
    examples = classification(3, (4,), seed=2, dtype=torch.float32)
    module = backbone()
    with pytest.raises(ValueError, match="must be one of 0, 1, 2, 3, 4"):
        extract_features(module, examples, layer="head")
    with pytest.raises(ValueError, match="no examples"):
        extract_features(module, [])
    with pytest.raises(ValueError, match="not finite"):
        extract_features(module, Examples(examples.inputs * torch.inf, examples.targets))
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        save_features(tmp_path / "features.csv", module, examples)
    with pytest.raises(ValueError, match="scaling = 'rows'"):
        save_features(tmp_path / "features.npz", module, examples, scaling="rows")
    shared = nn.ReLU()
    with pytest.raises(ValueError, match="reached 2 times"):
        extract_features(nn.Sequential(shared, nn.Linear(4, 4), shared), examples, layer="0")
