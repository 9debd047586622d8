"""Errors of TensorFlow and Keras as tables and terminals show them."""

from __future__ import annotations

import pytest

from frostline.measure.short_error import MOST, short_error, short_text

GATHER = (
    "Graph execution error:\n\nDetected at node functional_1/emb/GatherV2 defined at (most recent "
    'call last):\n  File "/home/me/train.py", line 33, in <module>\n\n  File "/lib/keras/trainer.py'
    '", line 399, in fit\n\nindices[0,0] = 99 is not in [0, 10)\n\t [[{{node functional_1/emb/'
    "GatherV2}}]] [Op:__inference_multi_step_on_iterator_688]"
)
MATMUL = (
    "Exception encountered when calling L.call().\n\n\x1b[1mDimensions must be equal, but are 3 "
    "and 9 for '{{node m/l/matmul}} = MatMul[T=DT_FLOAT, transpose_a=false](m/l/Reshape, m/l/zeros)"
    "' with input shapes: [7,3], [9,9].\x1b[0m\n\nArguments received by L.call():\n  "
    "• x=tf.Tensor(shape=(None, 3), dtype=float32)"
)
CONVERTED = (
    'in user code:\n\n    File "/home/me/model.py", line 8, in step  *\n        return f(x)\n'
    '    File "/home/me/model.py", line 3, in f  *\n        raise ValueError(x)\n\n'
    "    ValueError: the mask is empty\n"
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GATHER, "indices[0,0] = 99 is not in [0, 10) (at node functional_1/emb/GatherV2)"),
        (
            GATHER.replace(GATHER[GATHER.index("  File") : GATHER.index("indices")], "<stack "
            "traces unavailable>\n"),
            "indices[0,0] = 99 is not in [0, 10) (at node functional_1/emb/GatherV2)",
        ),
        (
            MATMUL,
            "Dimensions must be equal, but are 3 and 9 for MatMul at m/l/matmul with input shapes: "
            "[7,3], [9,9] (in L.call())",
        ),
        (CONVERTED, "ValueError: the mask is empty"),
        ("plain words", "plain words"),
        ("\x1b[31mred\x1b[0m", "red"),
    ],
)  # fmt: skip
def test_what_and_where_are_left(text: str, says: str) -> None:
    assert short_text(text) == says


def test_a_page_is_cut_and_an_empty_message_is_its_class() -> None:
    assert len(short_text("x" * 5000)) < MOST + 50
    assert short_text("x" * 5000).endswith("(the log has the rest)")
    assert short_error(KeyError()) == "KeyError"
