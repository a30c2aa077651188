"""Claims about networks rest on saved measurements: decided only where the whole interval is on one side."""

from types import SimpleNamespace

import numpy as np
import pytest

from paper_checks.court import Court
from paper_checks.legs import Measured
from torch_bridge import saved
from torch_bridge.statistics import Estimate


@pytest.mark.parametrize(
    ("interval", "status"),
    [
        ((0.3, 0.1, 0.5), "survived"),
        ((-0.3, -0.5, -0.1), "refuted"),
        ((0.1, -0.1, 0.3), "undecided"),
        ((0.0, 0.0, 0.0), "refuted"),
        ((np.nan, np.nan, np.nan), "undecided"),
    ],
)
def test_the_whole_interval_decides(monkeypatch: pytest.MonkeyPatch, interval: tuple, status: str) -> None:
    monkeypatch.setattr(saved, "load", lambda name: SimpleNamespace(command="how it was made"))
    leg = Measured(results="x", statistic=lambda data: Estimate(*interval, 0.95))
    found = leg.run(None, Court())
    assert found.status == status
    assert "how it was made" in found.note
    # A threshold beyond the interval turns any finite one into a refutation.
    beyond = Measured(results="x", statistic=lambda data: Estimate(*interval, 0.95), above=1.0)
    assert beyond.run(None, Court()).status == ("undecided" if np.isnan(interval[0]) else "refuted")


def test_what_was_not_measured_is_undecided(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(saved, "FOLDER", tmp_path)
    leg = Measured(results="not_there", statistic=lambda data: Estimate(1.0, 1.0, 1.0, 0.95))
    found = leg.run(None, Court())
    assert found.status == "undecided"
    assert str(tmp_path) not in found.note
