"""What is common to the tests that break a mechanism: who breaks it, and that a machine sees it."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.cache.client import Violation

Patch = Callable[[pytest.MonkeyPatch], None]


def sees(machine: type[RuleBasedStateMachine], words: str) -> None:
    """Runs a machine until it finds a violation, whose words are these."""
    with pytest.raises(Violation, match=words):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=400,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                database=None,
                print_blob=False,
                report_multiple_bugs=False,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            ),
        )
