"""The ready-made models: what a study that uses them gets."""

import pytest

pytestmark = [
    pytest.mark.tf,
    # Keras 3.15 reads TensorFlow's variables in a way that NumPy 2.4 deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]

WITH_WEIGHTS = {
    "mlp_sequential": ["dense_1", "dense_2", "dense_3"],
    "mlp_functional": ["dense_1", "dense_2", "dense_3"],
    "vgg16_transfer": ["vgg16", "dense", "predictions"],
    "small_convnet": [f"block{i}_{part}" for i in range(1, 7) for part in ("conv", "norm")]
    + ["predictions"],
    "small_batchnorm_net": ["stem_conv", "stem_norm"]
    + [
        f"stage{i}_{part}"
        for i in (1, 2, 3)
        for part in ("a_conv", "a_norm", "b_conv", "b_norm", "skip")
    ]
    + ["predictions"],
    "transformer_encoder": ["tokens", "positions"]
    + [
        f"block{i}_{part}"
        for i in (1, 2, 3, 4)
        for part in ("norm_1", "attention", "norm_2", "mlp_1", "mlp_2")
    ]
    + ["norm", "predictions"],
    "wide_mlp": [f"dense_{i}" for i in range(1, 6)],
}
KWARGS = {
    "vgg16_transfer": {"input_shape": [32, 32, 3], "weights": "none"},
    "wide_mlp": {"inputs": 8, "width": 16},
}


@pytest.fixture(scope="module")
def models():
    from frostline import models

    return models


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_layers_have_stable_names_and_all_train(models, name):
    model = getattr(models, name)(**KWARGS.get(name, {}))
    again = getattr(models, name)(**KWARGS.get(name, {}))
    owners = [layer.name for layer in model.layers if layer.trainable_variables]
    assert sorted(owners) == sorted(WITH_WEIGHTS[name])
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert all(layer.trainable for layer in model._flatten_layers())
    assert type(model.optimizer).__name__ == "Adam"
    assert model.loss == "categorical_crossentropy"


def test_the_two_perceptrons_are_the_same_model(models):
    one, two = models.mlp_sequential(), models.mlp_functional()
    assert one.count_params() == two.count_params() == 100 * 64 + 64 + 64 * 32 + 32 + 32 * 10 + 10
    assert one.output_shape == two.output_shape == (None, 10)


def test_the_vgg_base_is_one_nested_layer(models):
    model = models.vgg16_transfer(input_shape=[32, 32, 3], weights="none")
    base = model.get_layer("vgg16")
    assert len([layer for layer in base.layers if layer.trainable_variables]) == 13
    assert model.get_layer("dense").units == 256
    assert model.output_shape == (None, 10)


def test_vgg_weights_come_from_a_file(models, tmp_path):
    import numpy as np

    saved = models.vgg16_transfer(input_shape=[32, 32, 3], weights="none").get_layer("vgg16")
    path = tmp_path / "base.weights.h5"
    saved.save_weights(path)
    loaded = models.vgg16_transfer(input_shape=[32, 32, 3], weights=str(path)).get_layer("vgg16")
    np.testing.assert_array_equal(saved.get_weights()[0], loaded.get_weights()[0])
    with pytest.raises(FileNotFoundError, match='Give "imagenet", "none" or a file'):
        models.vgg16_transfer(input_shape=[32, 32, 3], weights=str(tmp_path / "gone.h5"))


def test_xception_as_published(models):
    model = models.xception_transfer(input_shape=[150, 150, 3])
    assert model.count_params() - model.get_layer("xception").count_params() == 2_049
    assert round(model.count_params() / 1e6, 2) == 20.86


def test_a_saved_transformer_loads_again(models, tmp_path):
    import keras
    import numpy as np

    model = models.transformer_encoder(vocabulary=20, length=4, width=8, heads=2, blocks=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(
        tmp_path / "model.keras",
        custom_objects={"PositionEmbedding": models.PositionEmbedding},
        compile=False,
    )
    tokens = np.array([[1, 2, 3, 4]])
    np.testing.assert_allclose(loaded(tokens), model(tokens), rtol=1e-5)
