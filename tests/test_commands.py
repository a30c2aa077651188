"""The commands as a user calls them: what they write, what they print, and their exit status."""

import json
import pickle

import numpy as np
import pytest

import linear
from bounds import __main__ as bounds_command
from bounds.deletion import certify as certify_point
from linear.datasets import Dataset
from paper_checks import __main__ as court_command
from paper_checks import cli, docket, replay
from paper_checks.registry import all_claims


@pytest.fixture
def small_data(tmp_path):
    """A regression data set of 30 rows as a user would bring it."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((30, 3))
    targets = features @ rng.standard_normal((3, 2)) + 0.1 * rng.standard_normal((30, 2))
    path = tmp_path / "small.npz"
    np.savez(path, features=features, targets=targets, test_features=features[:5], test_targets=targets[:5])
    return path


def certify(path, out, *more):
    return bounds_command.main(
        [
            "certify",
            "--data",
            str(path),
            "--index",
            "3",
            "--steps",
            "20",
            "--unlearn-steps",
            "5",
            "--out",
            str(out),
            *more,
        ]
    )


def test_certify_prints_and_writes_a_certificate_that_holds(small_data, tmp_path, capsys):
    out = tmp_path / "certificate.json"
    assert certify(small_data, out, "--epsilon", "1", "--delta", "1e-4") == 0
    found = json.loads(out.read_text())
    assert found["epsilon"] <= 1 and found["delta"] == 1e-4 and len(found["inputs_sha256"]) == 64
    printed = capsys.readouterr().out
    assert "unlearn noise" in printed and "both directions" in printed
    arrays = np.load(small_data)
    problem = linear.RidgeProblem(arrays["features"], arrays["targets"], ridge=1.0)
    names = ("step_size", "learn_steps", "unlearn_steps", "learn_noise", "unlearn_noise")
    schedule = linear.Schedule(**{name: found[name] for name in names})
    assert float(linear.deletion_pair(problem, schedule, 3).epsilon(1e-4)) <= found["epsilon"]


def test_run_saves_weights_that_follow_the_certified_chain(small_data, tmp_path, capsys):
    out = tmp_path / "deep" / "certificate.json"
    assert certify(small_data, out, "--run", "--seed", "1", "--noise", "0") == 0
    weights = np.load(out.with_suffix(".npz"))
    assert weights["learned"].shape == weights["unlearned"].shape == (3, 2)
    arrays = np.load(small_data)
    problem = linear.RidgeProblem(arrays["features"], arrays["targets"], ridge=1.0)
    # Without learning noise the learned weights are the deterministic gradient path.
    expected = np.zeros((3, 2))
    for _ in range(20):
        expected = expected - (problem.hessian @ expected - problem.cross) / problem.smoothness
    np.testing.assert_allclose(weights["learned"], expected, atol=1e-12)
    assert certify(small_data, out, "--run", "--seed", "1", "--noise", "0") == 0
    np.testing.assert_array_equal(np.load(out.with_suffix(".npz"))["unlearned"], weights["unlearned"])
    assert not list(out.parent.glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--index", "99"], "index = 99"),
        (["--index", "0", "--delta", "2"], "delta = 2"),
        (["--index", "0", "--ridge", "-1"], "ridge"),
        (["--index", "0", "--unlearn-steps", "0"], "unlearn_steps = 0"),
    ],
)
def test_wrong_certify_calls_end_with_status_two_and_one_line(small_data, tmp_path, capsys, arguments, message):
    assert (
        bounds_command.main(["certify", "--data", str(small_data), "--out", str(tmp_path / "c.json"), *arguments]) == 2
    )
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_missing_data_is_a_wrong_call(capsys, tmp_path):
    assert bounds_command.main(["certify", "--data", str(tmp_path / "none.npz"), "--index", "0"]) == 2
    assert court_command.main(["--data", "mnist"]) == 2
    assert "data_dir" in capsys.readouterr().err


def test_verify_reports_replays_and_exits_by_expectation(small_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(docket, "LEARN_STEPS", 12)
    monkeypatch.setattr(docket, "UNLEARN_STEPS", 3)
    out = tmp_path / "reports"
    arguments = ["--data", str(small_data), "--statement", "proposition_4_2", "--out", str(out), "--jobs", "1"]
    assert court_command.main(arguments) == 0
    report = json.loads((out / "report.json").read_text())
    assert {entry["status"] for entry in report["verdicts"]} == {"proved", "survived", "refuted"}
    assert report["data"]["points"] == 30
    ratios = report["data"]["ratio_min_median_max"]
    assert all(row[0] >= 1 - 1e-9 for row in ratios.values())
    assert "| benarroch2026.proposition_4_2.p1 | survived" in (out / "report.md").read_text()
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    saved = out / "counterexamples" / "benarroch2026.proposition_4_2.p2_any.json"
    capsys.readouterr()
    assert cli.main(["replay", str(saved)]) == 0
    assert "the promise is refuted" in capsys.readouterr().out


def test_a_verdict_that_is_not_the_expected_one_gives_exit_status_one(small_data, tmp_path, monkeypatch):
    monkeypatch.setattr(docket, "LEARN_STEPS", 12)
    from dataclasses import replace

    claims = dict(all_claims())
    name = "benarroch2026.proposition_4_2.p2_any"
    altered = replace(claims[name], expected="survived")
    monkeypatch.setattr(court_command, "select", lambda paper, statement: [altered])
    arguments = ["--data", str(small_data), "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert court_command.main(arguments) == 1


def test_a_tampered_counterexample_no_longer_refutes(tmp_path, capsys):
    from paper_checks.court import Court
    from paper_checks.report import counterexample_record

    claim = all_claims()["benarroch2026.proposition_4_2.p2_any"]
    found = Court().try_claim(claim).counterexample
    record = counterexample_record(claim.id, found)
    path = tmp_path / "found.json"
    path.write_text(json.dumps(record))
    again, stands = replay.recompute(replay.load(path))
    assert stands and again.log_promised == found.log_promised
    record["instance"]["fields"]["sensitivity"]["array"] = [1.0, 0.0]
    path.write_text(json.dumps(record))
    assert cli.main(["replay", str(path)]) == 1
    record["claim"] = "nobody.claims.this"
    path.write_text(json.dumps(record))
    assert cli.main(["replay", str(path)]) == 2
    path.write_text("{}")
    assert cli.main(["replay", str(path)]) == 2
    capsys.readouterr()


def test_the_console_command_names_its_verbs(capsys):
    assert cli.main([]) == 2
    assert cli.main(["--help"]) == 0
    assert cli.main(["dance"]) == 2
    captured = capsys.readouterr()
    assert "certify" in captured.out and "verb = 'dance'" in captured.err
    assert cli.main(["verify", "--list", "--paper", "bok2024"]) == 0
    assert "bok2024.strongly_convex" in capsys.readouterr().out


def test_docket_spreads_over_leverages():
    leverage = np.random.default_rng(3).random(50)
    chosen = docket.spread_over(leverage, 7)
    assert len(chosen) == 7 and leverage[chosen].min() == leverage.min() and leverage[chosen].max() == leverage.max()
    assert len(docket.spread_over(leverage, 500)) == 50


def test_the_docket_holds_every_point_as_the_laws_and_the_certificates_give_it(monkeypatch):
    """Against the paths for one point: exact epsilon and divergences from its pair, certificates from `certify`."""
    monkeypatch.setattr(docket, "LEARN_STEPS", 12)
    monkeypatch.setattr(docket, "UNLEARN_STEPS", 3)
    rng = np.random.default_rng(4)
    features, targets = rng.standard_normal((30, 5)) / 5, rng.standard_normal((30, 2))
    data = Dataset("made", features, targets, features[:0], targets[:0], "thirty rows")
    told = []
    found = docket.build(data, 100, few=4, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (60, 60)
    assert found.indices.tolist() == list(range(30))
    assert len(found.instances) == 30 * 3 and len(found.spread) == 4 * 3
    assert {(instance.index, instance.epsilon) for instance in found.spread} <= {
        (instance.index, instance.epsilon) for instance in found.instances
    }
    for instance in found.instances[::7]:
        place = instance.index
        pair = linear.deletion_pair(found.problem, found.schedule, place)
        assert found.exact[place] == pytest.approx(float(pair.epsilon(docket.DELTA)), rel=1e-7)
        for side in ("forward", "reverse"):
            exact = float(pair.log_hockey_stick(instance.epsilon, side == "reverse"))
            assert instance.log_hockey_stick(side) == pytest.approx(exact, rel=1e-10, abs=1e-8)
            for method in docket.JUDGED:
                one = certify_point(found.problem, found.schedule, place, delta_s=docket.DELTA_S, method=method)
                promised = getattr(one, f"log_{side}")(instance.epsilon)
                assert instance.certified(method, side) == pytest.approx(promised, rel=1e-4)
                assert instance.certified(method, side) >= exact - 1e-9 * abs(exact)
    for method, values in found.certified.items():
        one = certify_point(found.problem, found.schedule, 8, delta_s=docket.DELTA_S, method=method)
        assert values[8] == pytest.approx(one.epsilon(docket.DELTA), rel=5e-3)
    travelled = pickle.loads(pickle.dumps(found))
    assert [str(one) for one in travelled.spread] == [str(one) for one in found.spread]
    assert "instances" not in found.__getstate__()
