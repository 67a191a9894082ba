"""Counting answers and failures: pure."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pinging import PingState


def verdicts(answers: str, *, max_retries: int, rise: int) -> str:
    """What is known after each request: `u`p, `d`own or `-`; an answer is `+`, a failure `.`."""
    state, found = PingState(), ""
    for each in answers:
        state = state.after(answered=each == "+", max_retries=max_retries, rise=rise)
        found += {None: "-", True: "u", False: "d"}[state.up]
    return found


@pytest.mark.parametrize(
    ("answers", "max_retries", "rise", "wanted"),
    [
        ("+", 3, 2, "u"),  # the first answer counts, whatever `rise` says
        ("...", 3, 1, "--d"),
        ("..+", 3, 1, "--u"),
        ("+...", 3, 1, "uuud"),  # three failures, not one
        ("+..+..+...", 3, 1, "uuuuuuuuud"),  # in a row
        ("+.", 1, 1, "ud"),
        ("...+", 3, 1, "--du"),
        ("...++", 3, 2, "--ddu"),
        ("...+.++", 3, 2, "--ddddu"),  # in a row
    ],
)
def test_the_verdict_after_each_request(
    answers: str, max_retries: int, rise: int, wanted: str
) -> None:
    assert verdicts(answers, max_retries=max_retries, rise=rise) == wanted


@given(
    st.text(alphabet="+.", max_size=60),
    st.integers(min_value=1, max_value=10),
    st.integers(min_value=1, max_value=10),
)
def test_a_verdict_changes_only_after_enough_in_a_row(
    answers: str, max_retries: int, rise: int
) -> None:
    found = "-" + verdicts(answers, max_retries=max_retries, rise=rise)
    for at, (before, after) in enumerate(itertools.pairwise(found)):
        if before == after:
            continue
        said = answers[: at + 1]
        if after == "d":
            assert said.endswith("." * max_retries)
        elif before == "d":
            assert said.endswith("+" * rise)
        else:
            assert said.endswith("+")


def test_fewer_retries_count_from_the_next_request_on() -> None:
    state = PingState(up=True, against=4)
    assert state.after(answered=False, max_retries=3, rise=1) == PingState(up=False)
