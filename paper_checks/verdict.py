"""What a trial ends in: numbers kept as logarithms, evidence leg by leg, one verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from mpmath import mp, mpf

Status = Literal["proved", "survived", "refuted", "undecided", "invalid"]


@dataclass(frozen=True)
class Log:
    """The non-negative number ``exp(value)``; a promise returns it where the number itself would underflow."""

    value: float


@dataclass(frozen=True)
class Truth:
    """An interval of natural logarithms known to hold the true value; ``exact(x)`` and ``log(x)`` build one."""

    lower: float
    upper: float

    @classmethod
    def of(cls, value: float, relative_error: float = 0.0) -> Truth:
        """The truth ``value`` >= 0, known to ``relative_error``."""
        centre = math.log(value) if value > 0 else -math.inf
        return cls(centre + math.log1p(-relative_error), centre + math.log1p(relative_error))

    @classmethod
    def of_log(cls, log_value: float, error: float = 0.0) -> Truth:
        """The truth ``exp(log_value)``, its logarithm known to ``error``."""
        return cls(log_value - error, log_value + error)


class InvalidPromise(Exception):
    """A claim that returned something which is no bound at all: nan, negative, complex, the wrong shape."""


def log_promise(value: object) -> float:
    """The natural logarithm of what a promise returned.

    Raises InvalidPromise unless ``value`` is a `Log` or one real number >= 0 (+inf promises nothing).
    """
    if isinstance(value, Log):
        if math.isnan(value.value):
            raise InvalidPromise("returned the logarithm nan")
        return float(value.value)
    shape = getattr(value, "shape", ())
    if isinstance(shape, tuple) and shape != ():
        raise InvalidPromise(f"returned an array of shape {shape}: a promise is one real number >= 0")
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if isinstance(value, bool | complex | str | bytes) or kind in tuple("bcSU"):
        raise InvalidPromise(f"returned {value!r}: a promise is one real number >= 0")
    if isinstance(value, int) and value > 0:
        return math.log(value)  # also where it exceeds every float
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidPromise(f"returned {value!r}: a promise is one real number >= 0") from error
    if math.isnan(number) or number < 0:
        raise InvalidPromise(f"returned {number}: a promise is one real number >= 0")
    return math.log(number) if number > 0 else -math.inf


@dataclass(frozen=True)
class Counterexample:
    """An instance on which promise and truth part, with both numbers (natural logarithms)."""

    instance: Any
    log_promised: float
    truth: Truth
    direction: Literal["above", "below"] = "above"
    certified: bool = False

    @property
    def margin(self) -> float:
        """By what factor the truth's safe end lies beyond the promise."""
        gap = self.truth.lower - self.log_promised
        if self.direction == "below":
            gap = self.log_promised - self.truth.upper
        return math.exp(min(gap, 700.0))

    def __str__(self) -> str:
        relation = "exceeds" if self.direction == "above" else "stays below"
        how = "certified" if self.certified else "in float64, beyond its stated error"
        return (
            f"{self.instance}\n  promised {show_log(self.log_promised)}; the truth {relation} it: "
            f"{show_log(self.truth.lower)} ({how}; by the factor {self.margin:.6g})"
        )


@dataclass(frozen=True)
class Evidence:
    """What one leg of a trial found.

    closest: the largest truth/promise seen (None where the leg compares nothing); trials: how many instances;
    nearest: the instance at which `closest` was reached; note: one sentence for the report.
    """

    leg: str
    status: Status
    trials: int = 0
    closest: float | None = None
    nearest: Any = None
    counterexample: Counterexample | None = None
    note: str = ""
    kinds: dict[str, int] = field(default_factory=dict)
    pairs: tuple[tuple[float, float], ...] = ()


def show_log(log_value: float) -> str:
    """exp(log_value) to twelve digits, also where it underflows a float."""
    if log_value == -math.inf:
        return "0"
    if log_value == math.inf:
        return "inf"
    if -700 < log_value < 700:
        return f"{math.exp(log_value):.12g}"
    exponent, mantissa = divmod(log_value / math.log(10), 1)
    return f"{10**mantissa:.9g}e{int(exponent):+d}"


def show_digits(truth: Truth) -> str:
    """The digits of the number that its interval settles, at most 14: the same on every machine.

    The middle of the interval, rounded to one digit less than its width leaves; "0" or "inf" where both ends say so.
    """
    lower, upper = truth.lower, truth.upper
    if lower == upper and math.isinf(lower):
        return show_log(lower)
    if not (math.isfinite(lower) and math.isfinite(upper)):
        # An infinite truth is entered from the largest double on, and its other end says what it is.
        return f"at least {show_log(lower)}" if math.isfinite(lower) else f"at most {show_log(upper)}"
    with mp.workdps(40):
        width = mp.expm1(mpf(upper) - mpf(lower))
        digits = 14 if width == 0 else min(14, int(mp.floor(-mp.log10(width))) - 1)
        if digits < 1:
            return f"between {show_log(lower)} and {show_log(upper)}"
        return str(mp.nstr(mp.exp((mpf(lower) + mpf(upper)) / 2), digits, strip_zeros=True)).removesuffix(".0")


@dataclass(frozen=True)
class MutantResult:
    """Whether a deliberate mistake was caught, or is known to be no mistake."""

    name: str
    status: Status
    true_because: str = ""
    counterexample: Counterexample | None = None
    note: str = ""

    @property
    def killed(self) -> bool:
        return self.status == "refuted"

    @property
    def accounted(self) -> bool:
        """Killed, or expected to survive with the reason stated."""
        return not self.killed if self.true_because else self.killed


@dataclass(frozen=True)
class Verdict:
    """The outcome for one claim: status, closest approach, counterexample, mutants, evidence by leg."""

    claim: str
    status: Status
    expected: Status | None = None
    evidence: tuple[Evidence, ...] = ()
    mutants: tuple[MutantResult, ...] = ()
    seconds: float = 0.0
    note: str = ""

    @property
    def counterexample(self) -> Counterexample | None:
        return next((leg.counterexample for leg in self.evidence if leg.counterexample is not None), None)

    @property
    def refuting_leg(self) -> str | None:
        """The name of the leg whose counterexample is shown."""
        return next((leg.leg for leg in self.evidence if leg.counterexample is not None), None)

    @property
    def trials(self) -> int:
        return sum(leg.trials for leg in self.evidence)

    @property
    def closest(self) -> float | None:
        seen = [leg.closest for leg in self.evidence if leg.closest is not None]
        return max(seen) if seen else None

    @property
    def killed(self) -> int:
        return sum(mutant.killed for mutant in self.mutants)

    @property
    def as_expected(self) -> bool:
        """The verdict is the expected one and every mutant is killed or shown to be true."""
        verdict_fits = self.expected is None or self.status == self.expected
        return verdict_fits and all(mutant.accounted for mutant in self.mutants)

    def __str__(self) -> str:
        if self.status == "invalid":
            return f"{self.claim}: gave no bound, so no verdict, after {self.trials} instances\n  {self.note}"
        lines = [f"{self.claim}: {self.status} after {self.trials} instances"]
        if self.counterexample is not None:
            lines.append(str(self.counterexample))
        elif self.closest is not None:
            lines.append(f"  closest approach truth/promise {self.closest:.12g}")
            nearest = max((leg for leg in self.evidence if leg.closest is not None), key=lambda leg: leg.closest or 0.0)
            lines.append(f"  reached at {nearest.nearest}")
        if self.note and self.counterexample is None:
            lines.append(f"  {self.note}")
        return "\n".join(lines)
