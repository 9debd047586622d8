"""What a comparison reads of a sweep: its trials by model and setting, its models, its cost models.

In: a sweep, or its path. Out: `Contents`. Reads the tables of the anchors; refuses nothing that
could be compared in part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike

from frostline.analyse import GroupKey, TrialGroup, trial_groups
from frostline.analyse.stored_model import facts_if_known
from frostline.analyse.stored_study import study_of
from frostline.comparison.comparison import Compared
from frostline.comparison.matching import KnownModel
from frostline.errors import SweepError
from frostline.prediction import PredictedGroup, sort_groups
from frostline.store.sweep import Sweep, as_sweep

_UNKNOWN = KnownModel(spec=None, facts=None)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """One of the two sweeps, as far as it is compared.

    Attributes:
        about: the sweep.
        groups: its trials, by model, setting and kind of device.
        models: what is known of each model and variant, by the name that facts know it by.
        fitted: cost models, by model, setting and kind of device.
        unfitted: why there is none, in words, likewise.
    """

    about: Compared
    groups: tuple[TrialGroup, ...]
    models: Mapping[str, KnownModel]
    fitted: Mapping[tuple[GroupKey, str | None], PredictedGroup]
    unfitted: Mapping[tuple[GroupKey, str | None], str]

    @staticmethod
    def read(place: Sweep | str | PathLike[str], model: str | None) -> Contents:
        """Read a sweep; with `model`, only that one.

        Raises:
            StorageError: a table cannot be read.
        """
        sweep = as_sweep(place)
        rows = [row for row in sweep.trial_rows() if model in (None, row.model)]
        try:
            specs = {spec.name: spec for spec in study_of(sweep).model_specs()}
        except SweepError:  # what is not known is not compared
            specs = {}
        fitted, rest = sort_groups(sweep, model=model)
        manifest = sweep.manifest
        return Contents(
            about=Compared(
                shown=sweep.out.files.shown,
                study=manifest.study,
                versions=tuple(sorted(manifest.versions.items())),
            ),
            groups=trial_groups(rows),
            models={
                name: KnownModel(spec=specs.get(name), facts=facts_if_known(sweep, name))
                for name in {GroupKey.of(row).model_key for row in rows}
            },
            fitted={(group.key, group.device_kind): group for group in fitted},
            unfitted={(group.key, group.device_kind): group.reason for group in rest},
        )

    def known(self, key: GroupKey) -> KnownModel:
        """What is known of the model, or variant, of a group."""
        return self.models.get(key.model_key, _UNKNOWN)
