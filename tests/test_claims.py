"""Every registered claim ends in its expected verdict, with all mutants killed or shown to be true."""

import pytest

from paper_checks.court import Court
from paper_checks.registry import all_claims, select


@pytest.mark.parametrize("claim_id", list(all_claims()))
def test_claim_ends_as_expected(claim_id):
    verdict = Court().try_claim(all_claims()[claim_id])
    survivors = [mutant.name for mutant in verdict.mutants if not mutant.accounted]
    notes = [(leg.leg, leg.status, leg.note) for leg in verdict.evidence]
    assert verdict.as_expected, f"{verdict.status}, expected {verdict.expected}; mutants {survivors}; {notes}"


def test_every_claim_says_what_it_is_tried_against_and_ships_with_mutants():
    for claim in all_claims().values():
        assert claim.source and claim.statement and claim.against
        # A refuted reading's check has shown that it can fail; every other must show it on mutants, if it is tried.
        assert claim.mutants or claim.expected in ("refuted", "undecided")
        assert claim.expected not in ("refuted", "undecided") or claim.why


def test_repairs_point_to_claims_that_stand():
    for claim in all_claims().values():
        if claim.repair:
            assert all_claims()[claim.repair].expected in ("survived", "proved")


def test_selection_names_what_there_is():
    assert {claim.paper for claim in select("bok2024")} == {"bok2024"}
    with pytest.raises(ValueError, match="paper = 'none': must be one of"):
        select("none")
    with pytest.raises(ValueError, match="statement = 'none'"):
        select(None, "none")
