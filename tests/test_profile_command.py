"""The command `profile` as a user calls it."""

import numpy as np
import pytest

import linear
from linear import every_point
from paper_checks import cli


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((30, 4))
    path = tmp_path / "small.npz"
    np.savez(path, features=features, targets=features @ rng.standard_normal((4, 2)))
    return path


def call(data, out, *more):
    options = ["--steps", "20", "--unlearn-steps", "5", "--noise", "0.1", "--workers", "1", "--chunk", "7"]
    return cli.main(["profile", "--data", str(data), "--out", str(out), *options, *more])


def test_writes_the_profile_and_tells_of_it(data, tmp_path, capsys):
    out = tmp_path / "new" / "profile.npz"
    assert call(data, out, "--epsilon", "0.5", "1", "--delta", "1e-4", "--unlearn-noise", "0.2") == 0
    printed = capsys.readouterr().out
    for word in ("median", "hardest", "30 in 4 dimensions", "worst error", "exact epsilon", "ms a point"):
        assert word in printed
    with np.load(out, allow_pickle=False) as found:
        arrays = dict(found)
    with np.load(data) as given:
        problem = linear.RidgeProblem(given["features"], given["targets"], ridge=1.0)
    names = ("step_size", "learn_steps", "unlearn_steps", "learn_noise", "unlearn_noise")
    schedule = linear.Schedule(**{name: arrays[name].item() for name in names})
    assert schedule.unlearn_noise == 0.2
    for index in (0, 29):
        pair = linear.deletion_pair(problem, schedule, index)
        np.testing.assert_allclose(arrays["log_forward"][index], pair.log_hockey_stick([0.5, 1.0]), rtol=1e-9)
        np.testing.assert_allclose(arrays["log_reverse"][index], pair.log_hockey_stick([0.5, 1.0], True), rtol=1e-9)
        np.testing.assert_allclose(arrays["exact_epsilon"][index], pair.epsilon([1e-4]), rtol=1e-8)
    assert [path.name for path in out.parent.iterdir()] == ["profile.npz"]


def test_interrupted_it_says_how_to_go_on(data, tmp_path, capsys, monkeypatch):
    out, original, done = tmp_path / "profile.npz", every_point._Run.chunk, []

    def stops(run, chosen):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(len(chosen))
        return original(run, chosen)

    with monkeypatch.context() as patch:
        patch.setattr(every_point._Run, "chunk", stops)
        assert call(data, out) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not out.exists()
    assert len(list((tmp_path / "profile.npz.parts").iterdir())) == 2
    seen = []
    monkeypatch.setattr(
        every_point._Run, "chunk", lambda run, chosen: (seen.append(len(chosen)), original(run, chosen))[1]
    )
    assert call(data, out) == 0
    assert seen == [7, 7, 2] and out.exists()


def test_only_the_first_points(data, tmp_path, capsys):
    out = tmp_path / "profile.npz"
    assert call(data, out, "--points", "3") == 0
    with np.load(out) as found:
        np.testing.assert_array_equal(found["indices"], [0, 1, 2])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [(("--points", "31"), "points = 31"), (("--ridge", "0"), "ridge"), (("--delta", "2"), "delta = 2")],
)
def test_a_wrong_call_is_one_line(data, tmp_path, capsys, wrong, named):
    assert call(data, tmp_path / "profile.npz", *wrong) == 2
    assert named in capsys.readouterr().err
