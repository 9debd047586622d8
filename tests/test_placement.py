"""Variables that are moved in memory: other places, the same values, the same training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.tf


def trained(*, moved: bool) -> tuple[list[float], list[Any], int]:
    """Losses of six steps, the weights after them, and how many variables lie elsewhere."""
    import keras
    import tensorflow as tf

    from frostline.measure.placement import Placement

    keras.utils.set_random_seed(3)
    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(64),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(4),
    ])  # fmt: skip
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    examples, targets = np.ones((16, 8), "float32"), np.zeros((16, 4), "float32")
    losses = [float(model.train_on_batch(examples, targets)[0])]
    known = [each.value for each in (*model.variables, *model.optimizer.variables)]
    before = [place(each) for each in known]
    placement = Placement(model, [model.optimizer], tf.distribute.get_strategy())
    for _ in range(5):
        if moved:
            placement.draw()
        losses.append(float(model.train_on_batch(examples, targets)[0]))
    elsewhere = sum(place(each) != old for each, old in zip(known, before, strict=True))
    return losses, model.get_weights(), elsewhere


def place(variable: Any) -> int:
    """The address of a variable's buffer."""
    return int(np.asarray(memoryview(variable.read_value())).ctypes.data)


def test_moved_variables_train_on_to_the_bit() -> None:
    losses, weights, stayed = trained(moved=False)
    again, moved, elsewhere = trained(moved=True)
    assert again == losses
    for one, other in zip(weights, moved, strict=True):
        np.testing.assert_array_equal(one, other)
    assert stayed < 10, "counters and metrics, which the step itself replaces"
    assert elsewhere > 16


def test_each_replica_keeps_its_own_values() -> None:
    """Batch statistics and metrics differ from replica to replica until they are read."""
    import tensorflow as tf

    from frostline.measure.placement import Placement

    class Parts:
        """Two replicas on one device."""

        def experimental_local_results(self, value: Any) -> tuple[Any, ...]:
            return value

    class Model:
        """Variables alone."""

    parts = (tf.Variable([1.0, -0.0]), tf.Variable([2.0, float("nan")]))
    counter = (tf.Variable(7, dtype=tf.int64), tf.Variable(8, dtype=tf.int64))
    words = (tf.Variable(["a", "b"]), tf.Variable([True, False]))
    model: Any = Model()
    model.variables, model.optimizer = [parts, counter, words], None
    for _ in range(3):
        Placement(model, (), Parts()).draw()  # type: ignore[arg-type]
    np.testing.assert_array_equal(
        parts[0].numpy().view("int32"), np.float32([1, -0.0]).view("int32")
    )
    np.testing.assert_array_equal(parts[1].numpy(), [2.0, np.nan])
    assert [int(each) for each in counter] == [7, 8]
    assert words[0].numpy().tolist() == [b"a", b"b"]
    assert words[1].numpy().tolist() == [True, False]


def test_variables_are_moved_by_the_64_mebibytes() -> None:
    import tensorflow as tf

    from frostline.measure.placement import _batches

    small, large = tf.zeros([2**18]), tf.zeros([2**25])  # 1 and 128 MiB
    sizes = [len(batch) for batch in _batches([small, large, small, small])]
    assert sizes == [1, 1, 2]


def test_a_variable_that_cannot_be_copied_is_measured_where_it_lies(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import keras
    import tensorflow as tf

    from frostline.measure.arm import Arm

    class Sealed(keras.Sequential):
        @property
        def variables(self) -> list[Any]:
            raise RuntimeError("these are mine\nand mine alone")

    arm = Arm(Sealed([keras.layers.Dense(2)]), iter(()), tf.distribute.get_strategy())
    arm.move()
    arm.move()
    said = "variables stay where they are: these are mine and mine alone\n"
    assert capsys.readouterr().out == said  # once
