"""Small KerasHub backbones with random weights and a head, for `bench/matrix.py`.

They need the extra `hub`. Each builder takes no argument and returns a compiled `keras.Model`.
"""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
from keras import layers


def bert() -> keras.Model:
    """BERT: two blocks, width 32."""
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=100, num_layers=2, num_heads=2, hidden_dim=32, intermediate_dim=64,
        max_sequence_length=16,
    )  # fmt: skip
    return _with_head(backbone, {"sequence_output": None}, length=16)


def gpt2() -> keras.Model:
    """GPT-2: two blocks, width 32."""
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=100, num_layers=2, num_heads=2, hidden_dim=32, intermediate_dim=64,
        max_sequence_length=16,
    )  # fmt: skip
    return _with_head(backbone, None, length=16)


def llama() -> keras.Model:
    """Llama: two blocks, width 32, grouped keys."""
    backbone = keras_hub.models.LlamaBackbone(
        vocabulary_size=100, num_layers=2, num_query_heads=4, num_key_value_heads=2, hidden_dim=32,
        intermediate_dim=64,
    )  # fmt: skip
    return _with_head(backbone, None, length=16)


def t5() -> keras.Model:
    """T5: an encoder and a decoder of two blocks, width 32."""
    backbone = keras_hub.models.T5Backbone(
        vocabulary_size=100, num_layers=2, num_heads=2, hidden_dim=32, intermediate_dim=64
    )
    return _with_head(backbone, {"decoder_sequence_output": None}, length=16)


def whisper() -> keras.Model:
    """Whisper: sound in, tokens out, two blocks on each side."""
    backbone = keras_hub.models.WhisperBackbone(
        vocabulary_size=100, num_layers=2, num_heads=2, hidden_dim=32, intermediate_dim=64,
        max_encoder_sequence_length=16, max_decoder_sequence_length=16,
    )  # fmt: skip
    return _with_head(backbone, {"decoder_sequence_output": None}, length=16)


def vit() -> keras.Model:
    """ViT: patches of 8x8 pixels, two blocks, width 32."""
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64
    )
    return _with_head(backbone, None, length=None)


def resnet() -> keras.Model:
    """ResNet: two stages of basic blocks."""
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[3], stackwise_num_filters=[64, 128],
        stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2], block_type="basic_block",
        image_shape=(32, 32, 3),
    )  # fmt: skip
    return _with_head(backbone, None, length=None)


def _with_head(backbone: Any, output: dict[str, None] | None, length: int | None) -> keras.Model:
    """The backbone on inputs of a fixed length, its features averaged, and a softmax of 4."""
    inputs = {
        name: keras.Input(
            tuple(length if each is None else each for each in value.shape[1:]),
            dtype=value.dtype,
            name=name,
        )
        for name, value in (
            backbone.input.items()
            if isinstance(backbone.input, dict)
            else {"images": backbone.input}.items()
        )
    }
    found = backbone(inputs if isinstance(backbone.input, dict) else inputs["images"])
    if output is not None:
        found = found[next(iter(output))]
    pooled = (
        layers.GlobalAveragePooling2D()(found)
        if len(found.shape) == 4
        else layers.GlobalAveragePooling1D()(found)
    )
    end = layers.Dense(4, activation="softmax", name="head", dtype="float32")(pooled)
    model = keras.Model(inputs if len(inputs) > 1 else next(iter(inputs.values())), end)
    model.compile("adam", loss="categorical_crossentropy")
    return model
