"""The modules that a study names, for every model as if it were imported in a new process.

A module is imported once in a process, and many models are built in one. What its import sets for
all of Keras (a dtype policy, say) is therefore noted, and holds again for each of its models. What
it makes at import, and a builder would give to every model (a base, an optimizer), is made anew by
importing it again: a layer that one trial froze would stay frozen in the next.

In: `module:callable`. Out: the callable. Refuses (TrialError, stage `build`): what cannot be
imported, and a builder that hands out the same layers whatever is done.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import sys
import sysconfig
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state

from frostline.errors import TrialError
from frostline.measure.short_error import short_error

_POLICY = "dtype_policy"
_KEPT = ("flash_attention", "safe_mode_saving", "object_name_uids")
"""What Keras keeps for the process and forgets with `clear_session`, and an import may set."""
_LIBRARIES = frozenset({"frostline", "keras", "keras_hub", "tensorflow"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """What the import of a module left behind in Keras and TensorFlow, beside the module."""

    attributes: Mapping[str, Any]
    floatx: str
    image_data_format: str
    epsilon: float
    eager: bool


_MOST_CONTENTS = 100
"""Longer lists and tables of a module are data."""

_left_by: dict[str, _Left] = {}
_built_from: set[str] = set()
"""Modules whose builders have made a model in this process."""
_seen: weakref.WeakSet[keras.Layer] = weakref.WeakSet()
"""Layers of all those models."""


def load_callable(path: str, search_path: tuple[str, ...], what: str) -> Any:
    """Import `module:callable`, the study's folder first on the module path.

    Raises:
        TrialError: it cannot be imported, has no such attribute, or is not callable.
    """
    sys.path[:] = [*search_path, *(each for each in sys.path if each not in search_path)]
    module_name, _, attribute = path.partition(":")
    with user_code(f"import of {module_name}"):
        module = importlib.import_module(module_name)
    found = getattr(module, attribute, None)
    if not callable(found):
        raise TrialError(
            "build", "NotCallable", f"{what} {path!r}: {module_name} has no callable {attribute!r}"
        )
    return found


def load_builder(path: str, search_path: tuple[str, ...], *, precision: str) -> Any:
    """Import a builder; Keras is then as it would be in a process that has done no more than this.

    Call it with Keras's state as in a new process.

    Args:
        path: `module:callable`.
        search_path: as for `load_callable`.
        precision: the dtype policy that stands at import and when the builder is called, unless the
            import of its module has set another one.

    Raises:
        TrialError: as `load_callable`.
    """
    module_name = path.partition(":")[0]
    is_first = module_name not in sys.modules
    # Without a policy Keras follows `floatx`, which a builder may set.
    policy = None if precision == "float32" else keras.dtype_policies.get(precision)
    global_state.set_global_attribute(_POLICY, policy)
    found = load_callable(path, search_path, "builder")
    if is_first:
        _left_by[module_name] = _standing(policy)
    global_state.set_global_attribute(_POLICY, policy)
    if (left := _left_by.get(module_name)) is not None:
        _restore(left)
    return found


def _restore(left: _Left) -> None:
    for name, value in left.attributes.items():
        global_state.set_global_attribute(name, copy.deepcopy(value))
    keras.config.set_floatx(left.floatx)
    keras.config.set_image_data_format(left.image_data_format)
    keras.config.set_epsilon(left.epsilon)
    tf.config.run_functions_eagerly(left.eager)


def _standing(given: Any) -> _Left:
    """What stands after an import; `given` is the dtype policy that stood before."""
    kept = {name: global_state.get_global_attribute(name) for name in _KEPT}
    policy = global_state.get_global_attribute(_POLICY)
    # The first layer that is made gives Keras the policy that it would have had anyway.
    if policy is not given and not (given is None and policy.name == keras.config.floatx()):
        kept[_POLICY] = policy
    return _Left(
        attributes={name: copy.deepcopy(each) for name, each in kept.items() if each is not None},
        floatx=keras.config.floatx(),
        image_data_format=keras.config.image_data_format(),
        epsilon=keras.config.epsilon(),
        eager=tf.config.functions_run_eagerly(),
    )


@contextlib.contextmanager
def user_code(what: str) -> Iterator[None]:
    """Turn what the user's code raises into a TrialError that says where it was raised."""
    try:
        yield
    except TrialError:
        raise
    except (Exception, SystemExit) as error:  # `sys.exit`, as where a script reads its arguments
        traceback.print_exc()
        frame = traceback.extract_tb(error.__traceback__)[-1]
        name = type(error).__name__
        where = f"{frame.filename}:{frame.lineno}"
        said = short_error(error)
        raise TrialError("build", name, f"{what} raised {name} at {where}: {said}") from error


def anew_where_shared(make: Callable[[], Any], path: str, search_path: tuple[str, ...]) -> Any:
    """What a builder returns, with layers and optimizers that no earlier model has.

    Where its module keeps some for all models, it is imported again.

    Args:
        make: imports the builder and calls it.
        path: `module:callable` of the builder.
        search_path: where the user's modules lie.

    Raises:
        TrialError: the builder fails, or gives the same layers all the same.
    """
    module = path.partition(":")[0]
    kept = _kept_by(_modules_of(module, search_path)) if module in _built_from else None
    if kept is None:
        made = make()
        kept = _layer_of_another(made)
    if kept is not None:
        print(f"{module} keeps {kept} for all models: it is imported again", flush=True)
        for each in _modules_of(module, search_path):
            sys.modules.pop(each.__name__, None)
        try:
            made = make()
        except TrialError as error:
            raise _shared(path, kept, f"importing its module again fails: {error}") from error
        if (kept := _layer_of_another(made)) is not None:
            raise _shared(path, kept, "importing its module again does not change that")
    _built_from.add(module)
    _seen.update(_layers_in(made))
    return made


def _shared(path: str, kept: str, why: str) -> TrialError:
    return TrialError(
        "build",
        "SharedBetweenModels",
        f"builder {path!r} gives {kept} to every model it makes, so that what one trial does to it "
        f"holds for all ({why}); make it anew in each call of the builder",
    )


def _layers_in(made: Any) -> list[keras.Layer]:
    """The layers of a model, or of the models in a tuple."""
    models = made if isinstance(made, tuple) else (made,)
    return [
        layer
        for model in models
        if isinstance(model, keras.Model)
        for layer in model._flatten_layers()
    ]


def _layer_of_another(made: Any) -> str | None:
    """A layer with weights to train that an earlier model had as well, in words."""
    shared = (layer for layer in _layers_in(made) if _trains_in_another(layer))
    return next(
        (f"the layer `{layer.name}`" for layer in shared if layer._trainable_variables), None
    )


def _kept_by(modules: Iterable[ModuleType]) -> str | None:
    """What stands at the top of a module and an earlier model may have changed.

    In words; None where there is none. It is looked for before the builder is called, which may
    compile an earlier model anew where it hands that out again.
    """
    for module in modules:
        for name, value in vars(module).items():
            if hasattr(value, "cache_clear"):
                return f"the results of `{name}`"
            for each in _with_contents(value):
                if isinstance(each, keras.Optimizer) and each.built:
                    return f"the optimizer `{name}`"
                if isinstance(each, tf.Variable | keras.Variable):
                    return f"the variable `{name}`"
                if isinstance(each, keras.Layer) and _trains_in_another(each):
                    return f"the layer `{name}`"
    return None


def _trains_in_another(layer: keras.Layer) -> bool:
    """Whether an earlier model has the layer or a part of it, with weights to train."""
    return any(each in _seen and each._trainable_variables for each in layer._flatten_layers())


def _with_contents(value: Any) -> Iterable[Any]:
    if not isinstance(value, Mapping | list | tuple) or len(value) > _MOST_CONTENTS:
        return (value,)
    return list(value.values() if isinstance(value, Mapping) else value)


def _modules_of(name: str, search_path: tuple[str, ...]) -> list[ModuleType]:
    """A builder's module, and those of the user's that it refers to."""
    found: dict[str, ModuleType] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        module = sys.modules.get(each)
        if each in found or module is None or not _is_users(module, name, search_path):
            continue
        found[each] = module
        for value in list(vars(module).values()):
            other = value.__name__ if isinstance(value, ModuleType) else _defined_in(value)
            if isinstance(other, str):
                waiting.append(other)
    return list(found.values())


def _defined_in(value: Any) -> Any:
    return getattr(value, "__module__", None) if callable(value) else None


def _is_users(module: ModuleType, builders: str, search_path: tuple[str, ...]) -> bool:
    package = module.__name__.partition(".")[0]
    if package in _LIBRARIES:
        return False
    if package == builders.partition(".")[0]:
        return True
    file = getattr(module, "__file__", None)
    if not file:
        return False
    path = Path(file)
    if any(path.is_relative_to(each) for each in _installed_in()):
        return False
    return any(path.is_relative_to(each) for each in search_path)


def _installed_in() -> set[str]:
    return {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
