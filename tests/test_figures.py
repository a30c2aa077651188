"""Every picture at smoke scale: its numbers are the stored ones, drawing is deterministic, keeping works."""

import ast
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from scipy.stats import multivariate_normal, norm

from figures import __main__ as command
from figures import gallery, style
from linear.datasets import load
from paper_checks.registry import all_claims

REFERENCE = json.loads((Path(__file__).parent / "reference" / "figures.json").read_text(encoding="utf-8"))
DRAWABLE = [name for name, module in gallery.catalogue().items() if not module.ABOUT.missing()]


@pytest.fixture(scope="module")
def digits():
    return load("digits", None)


def nothing(done, total):
    pass


def summary(array):
    """What of an array is stored: its shape, and a few of its entries spread over it (all, when there are few)."""
    flat = np.asarray(array).ravel()
    chosen = flat[np.unique(np.linspace(0, max(len(flat) - 1, 0), 12).astype(int))] if len(flat) else flat
    return {"shape": list(np.shape(array)), "entries": chosen.tolist()}


@pytest.mark.parametrize("name", DRAWABLE)
def test_smoke_scale_gives_the_stored_numbers_and_a_picture(name, digits, tmp_path):
    module = gallery.catalogue()[name]
    dataset = digits if module.ABOUT.needs == "data set" else None
    settings = gallery.settings_of(module, "smoke")
    stem = tmp_path / name
    found, inputs, kept = gallery.collect(module, settings, dataset, stem, nothing)
    assert not kept
    # What is drawn from saved results has its numbers in the repository already.
    stored_numbers = REFERENCE[name] if module.ABOUT.needs != "saved results" else {}
    assert not stored_numbers or set(found.arrays) == set(stored_numbers)
    for key, stored in stored_numbers.items():
        now = summary(found[key])
        assert now["shape"] == stored["shape"], key
        if found[key].dtype.kind in "US":
            assert now["entries"] == stored["entries"], key
        else:
            np.testing.assert_allclose(now["entries"], stored["entries"], rtol=2e-5, atol=1e-12, err_msg=key)
    paths = gallery.picture(module, found, stem, inputs)
    assert [path.suffix for path in paths] == [".png", ".svg"]
    with Image.open(paths[0]) as picture:
        assert picture.width == 1440
        assert picture.text["Description"] == module.caption(found)
        assert picture.text["Inputs"] == inputs
    assert not plt.get_fignums()


@pytest.mark.parametrize("name", ["benarroch2026/fig2", "benarroch2026/fig4"])
def test_the_same_numbers_give_the_same_bytes(name, digits, tmp_path):
    module = gallery.catalogue()[name]
    dataset = digits if module.ABOUT.needs == "data set" else None
    settings = gallery.settings_of(module, "smoke")
    found, inputs, _ = gallery.collect(module, settings, dataset, tmp_path / "a", nothing)
    again, _, kept = gallery.collect(module, settings, dataset, tmp_path / "a", nothing)
    assert kept
    first, second = (
        [path.read_bytes() for path in gallery.picture(module, numbers, tmp_path / stem, inputs)]
        for numbers, stem in ((found, "b"), (again, "c"))
    )
    assert [one == other for one, other in zip(first, second, strict=True)] == [True, True]


@pytest.mark.parametrize("place", ["label", "ticks"])
def test_small_text_is_refused(place, tmp_path):
    with style.applied():
        figure, axis = style.canvas(2.0)
        if place == "label":
            axis.set_xlabel("tiny", fontsize=6)
        else:
            axis.tick_params(axis="y", labelsize=7)
        with pytest.raises(ValueError, match="is smaller than 8 points"):
            style.save(style.finished(figure, "A caption."), tmp_path / "a", {})
        plt.close(figure)


def test_every_figure_says_what_it_belongs_to():
    for name, module in gallery.catalogue().items():
        about = module.ABOUT
        assert about.shows and about.original and module.SETTINGS.keys() == {"full", "smoke"}, name
        assert module.SETTINGS["full"].keys() == module.SETTINGS["smoke"].keys(), name
        assert not about.statement or any(claim.startswith(about.statement) for claim in all_claims()), name
        assert (about.needs == "saved results") == bool(about.results), name


def test_kept_numbers_are_made_again_when_an_input_changes(tmp_path):
    module = gallery.catalogue()["benarroch2026/fig2"]
    settings = gallery.settings_of(module, "smoke")
    stem = tmp_path / "a"
    _, first, _ = gallery.collect(module, settings, None, stem, nothing)
    other, second, kept = gallery.collect(module, {**settings, "seed": 9}, None, stem, nothing)
    assert not kept and first != second
    stem.with_suffix(".npz").write_bytes(b"damaged")
    again, third, kept = gallery.collect(module, {**settings, "seed": 9}, None, stem, nothing)
    assert not kept and third == second
    np.testing.assert_array_equal(again["paths"], other["paths"])


def test_settings_are_checked():
    module = gallery.catalogue()["benarroch2026/fig2"]
    assert gallery.settings_of(module, "smoke", {"seed": "7"})["seed"] == 7
    with pytest.raises(ValueError, match="set = 'sead': benarroch2026/fig2 has"):
        gallery.settings_of(module, "smoke", {"sead": "7"})
    with pytest.raises(ValueError, match="set seed = 'x': must be of type int"):
        gallery.settings_of(module, "smoke", {"seed": "x"})


def test_command_lists_draws_and_refuses(tmp_path, capsys):
    assert command.main(["--list"]) == 0
    listed = capsys.readouterr().out
    for name in gallery.catalogue():
        assert name in listed
    for entry in gallery.UNDRAWN:
        assert entry.id in listed
    assert command.main(["benarroch2026/fig2", "--scale", "smoke", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "benarroch2026" / "fig2.svg").is_file()
    assert "1 of 1 figures" in capsys.readouterr().out
    assert command.main(["nobody/fig1"]) == 2
    assert "id = 'nobody/fig1': must be one of benarroch2026/fig1" in capsys.readouterr().err
    assert command.main(["benarroch2026/fig6"]) == 2
    assert "is not drawn: its caption was not public" in capsys.readouterr().err
    assert command.main(["benarroch2026/fig2", "--set", "seed"]) == 2
    assert command.main(["--set", "seed=3"]) == 2


def imports(path):
    """Top-level names of the modules a source file imports, with the full dotted name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_only_figures_draw_and_figures_know_nothing_of_the_court():
    root = gallery.ROOT.parent
    for package in ("linear", "bounds", "torch_bridge", "paper_checks", "figures"):
        for path in sorted((root / package).rglob("*.py")):
            names = imports(path)
            if package != "figures":
                assert not any(name.split(".")[0] == "matplotlib" for name in names), path
            else:
                court = {name for name in names if name.split(".")[0] in ("paper_checks", "torch")}
                # The command shares the other commands' progress bar and nothing else.
                assert court <= ({"paper_checks.terminal"} if path.name == "__main__.py" else set()), (path, court)


def numbers(name, scale="full", **changes):
    module = gallery.catalogue()[name]
    settings = {**gallery.settings_of(module, scale), **changes}
    return {key: np.asarray(value) for key, value in module.data(settings, None, nothing).items()}


def test_the_counterexample_shows_the_known_numbers():
    found = numbers("ours/counterexample")
    np.testing.assert_allclose(found["truth"], [1.4672474702e-4, 0.84356273288], rtol=1e-9)
    np.testing.assert_allclose(found["promised"], 0.3742794423, rtol=1e-8)
    assert found["truth"][1] > found["promised"] and (found["repaired"] >= found["truth"]).all()


def test_the_worst_case_is_attained_and_between_chord_and_late_shifts():
    chord, hull, late, attained = numbers("ours/worst_case")["mu"].T
    np.testing.assert_allclose(attained, hull, rtol=1e-11)
    assert (chord <= hull * (1 + 1e-12)).all() and (hull <= late * (1 + 1e-12)).all()
    assert (hull[20:] > 1.05 * chord[20:]).all()


def test_the_control_shows_the_known_total_variations():
    found = numbers("koloskova2025/control", epsilons=1)  # at epsilon 0.1 only
    mu = 2 * norm.ppf((1 + found["total_variation"][1, 0]) / 2)
    assert abs(norm.cdf(-0.1 / mu + mu / 2) - np.exp(0.1) * norm.cdf(-0.1 / mu - mu / 2) - 1e-5) < 1e-9
    np.testing.assert_allclose(found["total_variation"][0, 0], 2 * norm.cdf(mu / 4) - 1, rtol=1e-9)


def test_exact_decay_lies_below_every_bound():
    exact, derived, sobolev, published = numbers("ours/renyi_decay", "smoke")["divergence"].transpose(1, 0, 2)
    assert (exact <= derived * (1 + 1e-9)).all() and (derived <= sobolev * (1 + 1e-12)).all()
    assert (sobolev <= published * (1 + 1e-12)).all()


def test_the_laws_of_the_first_figure_have_the_epsilon_in_its_title():
    """The stated epsilon from samples of densities: the hockey-stick by summation over a grid."""
    found = numbers("benarroch2026/fig1")
    means, covariances = found["means"][1], found["covariances"][1]
    reach = 9 * np.sqrt(np.linalg.eigvalsh(covariances).max())
    axis = np.linspace(-reach, reach, 700)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1) + means.mean(axis=0)
    p, q = (multivariate_normal(m, c).pdf(grid) for m, c in zip(means, covariances, strict=True))
    cell = (axis[1] - axis[0]) ** 2
    sticks = [cell * np.maximum(a - np.exp(found["epsilon"][1]) * b, 0).sum() for a, b in ((p, q), (q, p))]
    assert abs(max(sticks) - 1e-3) < 2e-6
