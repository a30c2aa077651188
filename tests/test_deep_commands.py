"""The experiments as commands: at smoke scale they run, resume, say what they are, and refuse what they cannot do."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from paper_checks import cli
from torch_bridge.experiments import store


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


def run(results: Path, *words: str) -> int:
    return cli.main(["deep", *words, "--scale", "smoke", "--threads", "1", "--out", str(results)])


def loaded(results: Path, name: str) -> tuple[dict, dict]:
    numbers = json.loads((results / f"{name}.json").read_text())
    with np.load(results / f"{name}.npz", allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    for key, (kind, shape) in numbers["arrays"].items():
        assert (str(arrays[key].dtype), list(arrays[key].shape)) == (kind, shape)
    assert set(arrays) == set(numbers["arrays"])
    assert numbers["command"].startswith("unlearncheck deep ")
    assert str(results) not in json.dumps(numbers)  # no folder of this machine in the file
    return numbers, arrays


def test_difficulty(results: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(results, "difficulty") == 0
    printed = capsys.readouterr().out
    assert "steps to unlearn against privacy loss, rank correlation" in printed
    numbers, arrays = loaded(results, "difficulty_smoke")
    # What any measurement must show: random groups are as easy as any, and hard ones are forgotten by retraining.
    oracle = arrays["oracle_confidence"].mean(axis=2)
    assert oracle[0, 0] > oracle[0, -1] + 0.2
    assert numbers["score_correlations"]["average_gradient_norm~privacy_loss"]["value"] > 0.7
    assert abs(numbers["score_correlations"]["random~privacy_loss"]["value"]) < 0.2
    assert "not a bound" in numbers["privacy_loss"]["bias"]
    assert (arrays["barrier_chord_original_same_seed"] >= 0).all()
    before = (results / "difficulty_smoke.json").read_text()
    # All stages are kept: the second run only reads them, and says the same.
    assert run(results, "difficulty") == 0
    again = json.loads((results / "difficulty_smoke.json").read_text())
    first = json.loads(before)
    assert again["seconds"]["this_command"] < 0.5 * first["seconds"]["this_command"] + 1
    for name in ("scores", "algorithms", "barriers", "seconds"):
        again[name].pop("this_command", None) if isinstance(again[name], dict) else None
        first[name].pop("this_command", None) if isinstance(first[name], dict) else None
        assert again[name] == first[name]


def test_clipping(results: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(results, "clipping") == 0
    assert "budgets (epochs): 1, 2" in capsys.readouterr().out
    numbers, arrays = loaded(results, "clipping_smoke")
    order = numbers["method_order"]
    assert arrays["test"].shape == (len(order), 2, 5)
    # More compute helps those who have to learn anew; the trained model starts ahead of them.
    means = dict(zip(order, arrays["test"].mean(axis=2), strict=True))
    assert means["retrain"][1] > means["retrain"][0]
    assert means["fine_tune"][0] > means["retrain"][0]
    # What the noise leaves is as good as nothing: the certified start is within total variation of the control's.
    for row in numbers["against_control"]:
        assert row["mu"] == pytest.approx(0.26805, rel=1e-3)  # mu(1, 1e-5)
        assert row["total_variation_allows"] == pytest.approx(0.053428, rel=1e-3)
        assert row["gain"]["lower"] < row["total_variation_allows"]
    assert "NOT a reproduction" in numbers["transfer"]["note"]
    assert [row["epsilon"] for row in numbers["epsilon_sweep"]["rows"]] == [1.0, 10.0]
    noises = [row["methods"]["output_perturbation"]["noise_std"] for row in numbers["epsilon_sweep"]["rows"]]
    assert noises[0] >= noises[1]


def test_audit(results: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(results, "audit") == 0
    assert "never a certificate" in capsys.readouterr().out
    numbers, arrays = loaded(results, "audit_smoke")
    assert len(numbers["points"]) == 3
    assert (arrays["audited_mu"] <= numbers["most_mu"]).all()
    assert numbers["null_tried"] == 3
    assert numbers["audited_above_path_estimate"] == 0
    # The hardest point shows: unlearned and reference models differ on it by more than the halves of the null.
    assert arrays["estimated_mu"][-1, 0] > 2 * arrays["null_estimated_mu"].max()


def test_noisy_steps_are_paid_from_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every method makes exactly the steps that its budget buys; the control makes only the fine-tuning among them."""
    from types import SimpleNamespace

    import torch

    from torch_bridge.experiments import clipping, problem

    settings = clipping.SCALES["smoke"]
    made = problem.load_problem("digits", None, net="mlp", hidden=4, rows=500, test_rows=10)
    retain, validation, _ = clipping._splits(made, settings)
    assert not (retain & validation).any()
    zero = torch.zeros((settings.seeds, made.network.size))
    setup = clipping.Setup(made, settings, retain, validation, zero, [zero] * len(settings.private), [])
    seen: list[int] = []

    def count(network: object, examples: object, plan: object, **more: object) -> SimpleNamespace:
        seen.append(plan.steps)
        return SimpleNamespace(vectors=zero, records={})

    monkeypatch.setattr(clipping, "train", count)
    for name, candidates in clipping._candidates(setup).items():
        for candidate in candidates:
            if clipping._one(setup, candidate, 3.0) is not None:
                free = candidate.noisy_steps if name.startswith("control") else 0
                assert seen[-1] == setup.steps(3.0) - free
            else:
                assert candidate.noisy_steps >= setup.steps(3.0)
    assert len(seen) >= 10


def test_compute_to_target_interpolates_and_says_when_it_cannot() -> None:
    from torch_bridge.experiments.clipping import _compute_to_target

    budgets = (1.0, 2.0, 4.0)
    rows = {
        "retrain": np.repeat([[0.2], [0.4], [0.8]], 3, axis=1),
        "retrain_default_init": np.repeat([[0.1], [0.2], [0.4]], 3, axis=1),
        "fast": np.repeat([[0.4], [0.8], [0.9]], 3, axis=1),
        "never": np.repeat([[0.1], [np.nan], [0.2]], 3, axis=1),
    }
    found = _compute_to_target((0.4, 0.6, 0.95), budgets, rows)
    assert found["0.4"]["retrain"]["epochs"] == pytest.approx(2.0)
    assert found["0.6"]["retrain"]["epochs"] == pytest.approx(2.0 * 2**0.5)
    assert found["0.6"]["fast"]["ratio_to_retrain"]["value"] == pytest.approx(0.5)
    assert found["0.4"]["fast"]["at_smallest_budget"]
    assert "ratio_to_retrain_default_init" not in found["0.6"]["fast"]  # never reached: no ratio
    assert np.isinf(found["0.6"]["never"]["epochs"])
    assert np.isinf(found["0.95"]["fast"]["epochs"])


def test_commands_refuse(results: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(results, "difficulty", "--data", "cifar10") == 2
    assert "data_dir = None: 'cifar10' needs the folder" in capsys.readouterr().err
    assert run(results, "difficulty", "--net", "cifar") == 2
    assert "needs rows of 3 x 32 x 32 pixels" in capsys.readouterr().err
    assert run(results, "audit", "--seeds", "7") == 2
    assert "audit has no option --seeds" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(results, "nothing")
    assert "invalid choice" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------- the store


def test_a_stage_is_computed_once_and_settings_name_the_folder(tmp_path: Path) -> None:
    calls = []

    def compute(tick: store.Tick) -> dict:
        tick(1, 2)
        calls.append(1)
        return {"a": np.arange(3)}

    for settings, expected in (({"x": 1}, 1), ({"x": 1}, 1), ({"x": 2}, 2)):
        arrays = store.Store(tmp_path, "e", settings).stage("one", compute)
        np.testing.assert_array_equal(arrays["a"], [0, 1, 2])
        assert len(calls) == expected
    damaged = next(tmp_path.glob("*/one.npz"))
    damaged.write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"one\.npz: must be an undamaged stage file"):
        [store.Store(tmp_path, "e", {"x": x}).stage("one", compute) for x in (1, 2)]


def test_an_interrupted_stage_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(tick: store.Tick) -> dict:
        raise KeyboardInterrupt

    kept = store.Store(tmp_path, "e", {})
    with pytest.raises(KeyboardInterrupt):
        kept.stage("one", stop)
    assert not list(tmp_path.rglob("*.npz*"))


def test_numbers_are_written_plainly(tmp_path: Path) -> None:
    numbers = {"a": np.float64(1 / 3), "b": [np.inf, -np.inf, np.nan], "c": (np.int64(3), True, None, "x")}
    paths = store.save_results(tmp_path, "r", numbers, {"v": np.ones(2), "i": np.arange(2, dtype=np.int32)})
    found = json.loads(paths[0].read_text())
    assert found["a"] == 0.333333
    assert found["b"] == ["inf", "-inf", None]
    assert found["c"] == [3, True, None, "x"]
    assert found["arrays"] == {"v": ["float32", [2]], "i": ["int32", [2]]}
    with pytest.raises(TypeError, match="cannot be written"):
        store.save_results(tmp_path, "r", {"a": object()}, {})


def test_the_papers_network_takes_cifar_files(tmp_path: Path) -> None:
    """`--scale paper` on the authors' own format: small files, the same code."""
    import torch
    from test_image_files import write_cifar10

    from torch_bridge.experiments import difficulty, problem

    images, labels = write_cifar10(tmp_path, rows=3)
    settings = difficulty.SCALES["paper"]
    made = problem.load_problem(settings.data, tmp_path, net=settings.net)
    assert made.train.inputs.shape == (15, 3, 32, 32)
    # channel, row, column as in the file
    assert made.train.inputs[4, 2, 5, 9] * 255 == pytest.approx(float(images[4, 2 * 1024 + 5 * 32 + 9]), rel=1e-6)
    assert made.train.targets.tolist() == [sorted(set(labels)).index(label) for label in labels[:15]]
    vectors = torch.stack([made.network.initial(seed) for seed in range(2)])
    own = problem.label_probabilities(made.network, vectors, made.train)
    assert own.shape == (2, 15)
    outputs = made.network.outputs(vectors, made.train.inputs)
    np.testing.assert_allclose(own[1, 3], torch.softmax(outputs[1, 3], 0)[made.train.targets[3]], rtol=1e-5)
    right = problem.accuracy(made.network, vectors, made.train)
    np.testing.assert_allclose(right, (outputs.argmax(2) == made.train.targets).float().mean(1))
    masks = problem.mask_without(15, np.array([[0, 1], [3, 4]]))
    assert masks.sum(1).tolist() == [13, 13]
    assert not masks[1, 3]
