"""Which of a study's policies become trials, where the training step cannot run all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from schedule_kit import facts

from frostline.plan.configurations import configurations_of
from frostline.study.study import parse_study


def test_a_policy_that_the_step_cannot_run_is_skipped_with_the_reason(tmp_path: Path) -> None:
    # GIVEN a step that fails where nothing of the first two layers trains
    study = parse_study(
        'name = "s"\n[[model]]\nname = "net"\nbuilder = "frostline.models:convnet"\n'
        '[freeze]\npolicies = ["list:a,b", "layer:a"]\n',
        check_builders=False,
    )
    known = facts(["a", "b", "c"])
    known = replace(
        known,
        must_train=(tuple(each.path for each in known.variables if each.layer in ("a", "b")),),
    )
    # WHEN it is planned
    notices: list[str] = []
    found, asked = configurations_of(study, known, notices)
    # THEN the policy is named with the reason, and the others are there
    assert notices == [
        "`list:a,b` is skipped in model `net`: the training step fails where none of `a`, `b` "
        "trains."
    ]
    assert asked
    assert "layer:a" in {one.policy for one in found}
    assert not any({"a/kernel", "b/kernel"} <= one.frozen for one in found)
