"""Which policy applies, how slots fill, and who may do what. No database."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals import policy
from approvals.policy import Actor, RequestFacts, Reviewer, Rule, SlotRule


class Pattern:
    def __init__(self, model_pattern: str) -> None:
        self.model_pattern = model_pattern


def person(number: int, *groups: str) -> Reviewer:
    return Reviewer(number, f"Person {number} <p{number}@example.com>", frozenset(groups))


def rule(*slots: SlotRule) -> Rule:
    return Rule(model_pattern="*", slots=slots, requires_reason=False, open_for_days=14)


ANY, RISK = SlotRule(1), SlotRule(1, "risk")


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "anything", True),
        ("churn_*", "churn_predictor", True),
        ("churn_*", "churn", False),
        ("churn_?", "churn_x", True),
        ("churn_?", "churn_xy", False),
        ("a[b]", "a[b]", True),
        ("a[b]", "ab", False),
        ("a.c", "abc", False),
        ("Churn*", "churn_x", False),
        ("*", "with\nnewline", True),
    ],
)
def test_matches_whole_names_with_two_wildcards(pattern: str, name: str, fits: bool) -> None:
    assert policy.matches(pattern, name) is fits


def test_applicable_keeps_the_order_of_those_that_fit() -> None:
    found = policy.applicable(
        [Pattern(each) for each in ("fraud", "churn_*", "*", "churn_predictor")], "churn_predictor"
    )
    assert [each.model_pattern for each in found] == ["churn_*", "*", "churn_predictor"]


def test_specificity_puts_exact_names_before_patterns() -> None:
    patterns = ["*", "churn_*", "churn_predictor", "*_predictor", "churn_?redictor"]
    assert sorted(patterns, key=policy.specificity, reverse=True) == [
        "churn_predictor",
        "churn_?redictor",
        "*_predictor",
        "churn_*",
        "*",
    ]


def test_rule_survives_json() -> None:
    kept = Rule("churn_*", (ANY, RISK), True, 7, policy_id=3, why="Because.")
    assert Rule.from_json(kept.as_json()) == kept


def test_assign_moves_people_to_where_they_are_needed() -> None:
    both, risk_only = person(1, "risk"), person(2)
    assert policy.assign([RISK, ANY], [risk_only, both]) == [[both], [risk_only]]
    assert policy.assign([ANY, RISK], [both, risk_only]) == [[risk_only], [both]]


def test_assign_keeps_the_order_of_the_approvals() -> None:
    first, second = person(1), person(2)
    assert policy.assign([SlotRule(2)], [first, second]) == [[first, second]]


def test_assign_counts_each_person_once() -> None:
    assert policy.assign([RISK, RISK], [person(1, "risk")]) == [[person(1, "risk")], []]


@given(
    slots=st.lists(
        st.builds(SlotRule, st.integers(1, 3), st.sampled_from([None, "a", "b", "c"])), min_size=1, max_size=4
    ),
    groups=st.lists(st.sets(st.sampled_from("abc")), max_size=7),
)
def test_assign_is_a_largest_legal_matching(slots: list[SlotRule], groups: list[set[str]]) -> None:
    people = [person(number, *names) for number, names in enumerate(groups)]
    given_out = policy.assign(slots, people)
    placed = [each.id for filled in given_out for each in filled]
    assert len(placed) == len(set(placed))
    assert all(each.fits(slot) for slot, filled in zip(slots, given_out, strict=True) for each in filled)
    assert all(len(filled) <= slot.approvals for slot, filled in zip(slots, given_out, strict=True))
    assert len(placed) == _largest(tuple((slot.group, slot.approvals) for slot in slots), people)


def _largest(places: tuple[tuple[str | None, int], ...], people: list[Reviewer]) -> int:
    """By trying everything."""
    if not people:
        return 0
    first, rest = people[0], people[1:]
    best = _largest(places, rest)
    for index, (group, room) in enumerate(places):
        if room and (group is None or group in first.groups):
            left = (*places[:index], (group, room - 1), *places[index + 1 :])
            best = max(best, 1 + _largest(left, rest))
    return best


def test_shortage_names_what_is_missing_without_the_requester() -> None:
    two = rule(SlotRule(2))
    assert policy.shortage(two, eligible=[person(1), person(2)]) == ""
    assert "2 approvals from any reviewer (1 eligible)" in policy.shortage(
        two, eligible=[person(1), person(2)], excluded={1}
    )


def test_shortage_sees_one_person_needed_in_two_slots() -> None:
    assert policy.shortage(rule(RISK, ANY), eligible=[person(1, "risk")]) != ""


REVIEW = frozenset({"approvals.review_promotion"})


def facts(**changes: object) -> RequestFacts:
    base: dict[str, object] = {
        "status": "pending",
        "status_label": "Waiting for review",
        "asked_by": {1},
        "states": policy.slot_states(rule(SlotRule(2)), approvers=[], eligible=[person(2), person(3)]),
        "is_overdue": False,
        "own_verdict": "",
        "own_groups": frozenset(),
        "stale": "",
    }
    return RequestFacts(**(base | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("actor", "changes", "reason"),
    [
        (Actor(1, REVIEW), {}, "You requested this promotion"),
        (Actor(2, frozenset()), {}, "Only reviewers can decide"),
        (Actor(2, REVIEW), {"own_verdict": "Approved"}, "already decided"),
        (Actor(2, REVIEW), {"is_overdue": True}, "past its time limit"),
        (Actor(2, REVIEW), {"status": "applied", "status_label": "Applied"}, "No decision is open"),
        (Actor(2, REVIEW), {"stale": "Version 8 holds Production now."}, "returns to review in a moment"),
        (
            Actor(2, REVIEW),
            {"states": policy.slot_states(rule(RISK), approvers=[], eligible=[])},
            "must come from others: 1 approval from risk",
        ),
    ],
)
def test_approving_is_refused_with_a_reason(actor: Actor, changes: dict[str, object], reason: str) -> None:
    answer = policy.available_actions(actor, facts(**changes))["approve"]
    assert not answer
    assert reason in answer.reason


def test_a_reviewer_may_approve_and_reject() -> None:
    actions = policy.available_actions(Actor(2, REVIEW), facts())
    assert actions["approve"]
    assert actions["reject"]
    assert actions["request_changes"]


def test_a_reviewer_outside_the_missing_group_may_still_reject() -> None:
    states = policy.slot_states(rule(RISK), approvers=[], eligible=[person(2)])
    actions = policy.available_actions(Actor(2, REVIEW), facts(states=states))
    assert not actions["approve"]
    assert actions["reject"]


def test_waits_for_names_the_groups_that_are_missing() -> None:
    states = policy.slot_states(rule(RISK, ANY), approvers=[person(2, "risk")], eligible=[])
    assert policy.waits_for(states) == "|*|"
    assert policy.waits_for(policy.slot_states(rule(RISK, ANY), approvers=[], eligible=[])) == "|risk|*|"
