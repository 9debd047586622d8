"""The models of a study, built once in a child process, for the commands that tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frostline.cli.console import err

if TYPE_CHECKING:
    from frostline.facts.model_facts import ModelFacts
    from frostline.study.study import Study


def inspected(study: Study) -> tuple[dict[str, ModelFacts], list[str]]:
    """Facts by model, and why the others could not be built."""
    from frostline.measure.inspect_client import inspect_models, refuse_impossible_variants
    from frostline.measure.messages import Failed

    with err().status("building the models once, to know their layers"):
        found = inspect_models(
            study.model_specs(),
            study.settings()[0],
            seed=study.seed,
            deadline_s=study.resources.trial_timeout_s,
        )
    refuse_impossible_variants(found)
    facts = {}
    failures = []
    for name, each in found.items():
        if isinstance(each, Failed):
            why = "" if each.is_refusal else f" failed in {each.stage}: {each.kind}"
            failures.append(f"model `{name}`{why}: {each.message}")
        else:
            facts[name] = each
    return facts, failures
