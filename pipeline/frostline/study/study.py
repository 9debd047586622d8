"""Study files: TOML in, a validated `Study` out, or one `StudyError` that lists every mistake.

Does not import the user's code and needs no TensorFlow. `docs/studies.md` is the reference for
users, `frostline.study.tables` holds keys and defaults, `frostline.study.check` the checks.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from frostline.billing.run import NO_RUN, Run
from frostline.digest import digest_of
from frostline.notebook import html_facts, one_line
from frostline.published import Published
from frostline.study.check import checked
from frostline.study.former_names import former
from frostline.study.parse import read_text
from frostline.study.tables import (
    FreezeTable,
    MeasureTable,
    ModelTable,
    ResourcesTable,
    RunTable,
    StudyFile,
    TrainTable,
)
from frostline.trial import AUTO, STOPPING, MeasureSpec, ModelSpec, Setting, StoppingRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A validated study.

    Attributes:
        name, seed: as in the file.
        models: its models, each followed by its variants.
        train, freeze, measure, resources: its tables.
        text: the file as it was read.
        search_path: folders put first on the module path: the study file's own.
        digest: SHA-256 of what the file says; comments, order and spacing do not change it.
        former_names: its trials are those of an OUT that was begun under the package's former name.
        stopping: the rule by which measuring stops; that of the OUT, where there is one.
        run: the training run whose hours, energy and money are told; empty where it names none.
        published: speedups that somebody published, to be shown beside the measured ones.
    """

    name: str
    seed: int
    models: tuple[ModelTable, ...]
    train: TrainTable
    freeze: FreezeTable
    measure: MeasureTable
    resources: ResourcesTable
    text: str
    search_path: tuple[str, ...]
    digest: str
    former_names: bool = False
    stopping: StoppingRule = STOPPING
    run: Run = NO_RUN
    published: tuple[Published, ...] = ()

    def __repr__(self) -> str:
        return one_line("Study", self.name, self._facts())

    def _repr_html_(self) -> str:
        return html_facts(f"Study {self.name}", self._facts())

    def _facts(self) -> dict[str, str]:
        policies = (one if isinstance(one, str) else ",".join(one) for one in self.freeze.policies)
        return {
            "models": ", ".join(f"{model.name} ({model.builder})" for model in self.models),
            "settings": str(len(self.settings())),
            "policies": ", ".join(policies),
        }

    @property
    def gpus(self) -> int:
        """GPUs that a trial holds; `auto` counts as none until `with_gpus` has said otherwise."""
        asked = self.resources.gpus_per_trial
        return 0 if asked == AUTO else asked

    def with_gpus(self, gpus: int) -> Study:
        """The study with a number of GPUs for each trial, whatever its file says."""
        resources = self.resources.model_copy(update={"gpus_per_trial": gpus})
        return replace(self, resources=resources)

    def model_specs(self) -> tuple[ModelSpec, ...]:
        """Return the models in the file's order, each followed by its variants."""
        specs = (model.spec(self.search_path) for model in self.models)
        if self.former_names:
            return tuple(replace(spec, known_as=former(spec.builder)) for spec in specs)
        return tuple(specs)

    def settings(self) -> tuple[Setting, ...]:
        """Return the cartesian product of the axes; the last axis varies fastest."""
        train = self.train
        optimizers: tuple[str | None, ...] = train.optimizer or (None,)
        return tuple(
            Setting(
                batch_size=batch_size,
                optimizer=optimizer,
                precision=precision,
                jit_compile=jit_compile,
                strategy=strategy,
            )
            for batch_size, optimizer, precision, jit_compile, strategy in itertools.product(
                train.batch_size, optimizers, train.precision, train.jit_compile, train.strategy
            )
        )

    def measure_spec(self) -> MeasureSpec:
        """Return how trials are measured."""
        return MeasureSpec(seed=self.seed, stopping=self.stopping, **self.measure.model_dump())


def load_study(path: str | PathLike[str], *, check_builders: bool = True) -> Study:
    """Read and validate a study file.

    Args:
        path: the file; its folder comes first when builders are looked for.
        check_builders: False for a study that was run elsewhere and is only read here.

    Raises:
        StudyError: the file cannot be read, is not TOML, or has mistakes, all of them named.
    """
    file = Path(path)
    return parse_study(read_text(file), path=file, check_builders=check_builders)


def parse_study(
    text: str, *, path: Path | None = None, check_builders: bool = True, former_names: bool = False
) -> Study:
    """Validate the text of a study file.

    Args:
        text: TOML.
        path: where it comes from, for messages and as the builders' folder.
        check_builders: as in `load_study`.
        former_names: it is kept in an OUT that was begun under the package's former name.

    Raises:
        StudyError: the text is not TOML, or has mistakes, all of them named.
    """
    file = checked(text, path=path, check_builders=check_builders, former_names=former_names)
    return Study(
        name=file.name,
        seed=file.seed,
        models=tuple(each for model in file.model for each in model.with_variants()),
        train=file.train,
        freeze=file.freeze,
        measure=file.measure,
        resources=file.resources,
        text=text,
        search_path=() if path is None else (str(path.resolve().parent),),
        digest=digest_of(_said(file)),
        former_names=former_names,
        run=file.run.spec(),
        published=tuple(each.spec() for each in file.published),
    )


def _said(file: StudyFile) -> dict[str, object]:
    """What a study says; without what younger tables add, where they say nothing."""
    said: dict[str, Any] = file.model_dump()
    if file.run == RunTable():
        del said["run"]
    if not file.published:
        del said["published"]
    if not file.freeze.schedule:
        del said["freeze"]["schedule"]
    for model in said["model"]:
        if not model["variant"]:
            del model["variant"]
    return said
