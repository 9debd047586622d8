"""TensorBoard on a sweep.

    hparams   the columns and scalars of a trial in TensorBoard, as literal data
    events    a trial's row -> the bytes of an event file; no TensorFlow
    server    OUT/tensorboard -> a running TensorBoard and links into it

`OUT/tensorboard` works with plain `tensorboard --logdir OUT/tensorboard` as well.
"""
