"""Run a saved counterexample again: both numbers, from the instance alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from . import families
from .claim import Claim, Promise
from .codec import decode
from .legs import Comparison
from .registry import all_claims
from .verdict import Counterexample, Truth, log_promise, show_digits


def load(path: Path) -> dict[str, Any]:
    """The record in `path`. Raises ValueError when it is no saved counterexample."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"file = {str(path)!r}: cannot be read as a counterexample ({error})") from error
    needed = {"claim", "instance", "log_promised", "log_truth", "direction"}
    if not isinstance(record, dict) or not needed <= record.keys():
        raise ValueError(f"file = {str(path)!r}: a counterexample holds {', '.join(sorted(needed))}")
    return record


def recompute(record: dict[str, Any]) -> tuple[Counterexample, bool]:
    """Promise and truth computed anew from the record's instance; and whether the promise still fails.

    Raises ValueError for a claim or family that is not known.
    """
    instance = decode(record["instance"])
    if "family" in record:
        family = families.get(record["family"])
        promise, truth, tolerance, certified = (
            _promise(record["claim"]),
            family.certify(instance),
            family.tolerance,
            True,
        )
    else:
        claims = all_claims()
        if record["claim"] not in claims:
            raise ValueError(f"claim = {record['claim']!r}: no registered claim has this id")
        promise, leg = _trial(claims[record["claim"]], record.get("mutant"), record.get("leg"))
        certified = leg.certify is not None
        truth, tolerance = (leg.certify or leg.truth)(instance), leg.tolerance
    promised = log_promise(promise(instance))
    again = Counterexample(instance, promised, truth, record["direction"], certified)
    beyond = truth.lower - promised if record["direction"] == "above" else promised - truth.upper
    return again, beyond > tolerance


def _promise(reference: str) -> Promise:
    from .falsify_command import load_function

    found = load_function(reference)
    if callable(found):
        return found
    claim = all_claims().get(found)
    if claim is None or claim.promise is None:
        raise ValueError(f"claim = {found!r}: is neither FILE.py:FUNCTION nor a registered claim with a promise")
    return claim.promise


def _trial(claim: Claim, mutant_name: str | None, leg_name: str | None) -> tuple[Promise, Comparison]:
    promise = claim.promise
    if mutant_name is not None:
        promise = next((m.promise for m in claim.mutants if m.name == mutant_name), None)
    exact = [leg for leg in claim.legs if isinstance(leg, Comparison)]
    leg = next((leg for leg in exact if leg.name == leg_name), exact[0] if exact else None)
    if promise is None or leg is None:
        raise ValueError(f"claim = {claim.id!r}: has no exact comparison to replay")
    return promise, leg


def describe(again: Counterexample, record: dict[str, Any], stands: bool) -> str:
    """What the replay prints: the instance, both numbers now and as saved.

    Of the truth, the digits its interval settles; of the promise, which is some function's float64, ten: what another
    machine's libraries round differently is not shown.
    """
    saved = Truth(*(decode(value) for value in record["log_truth"]))
    return "\n".join(
        [
            f"claim     {record['claim']}" + (f", mutant {record['mutant']}" if record.get("mutant") else ""),
            f"instance  {again.instance}",
            f"promised  {_promised(again.log_promised)}   (saved {_promised(decode(record['log_promised']))})",
            f"true      {show_digits(again.truth)}   (saved {show_digits(saved)}; "
            + ("certified" if again.certified else "in float64, beyond its stated error")
            + ")",
            "the promise is refuted" if stands else "the promise is NOT refuted here",
        ]
    )


def _promised(log_value: float) -> str:
    return show_digits(Truth.of_log(log_value, 1e-12) if math.isfinite(log_value) else Truth(log_value, log_value))
