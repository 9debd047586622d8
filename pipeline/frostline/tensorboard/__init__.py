"""TensorBoard on a sweep.

    hparams   what TensorBoard tabulates of a trial, as literal data
    events    a trial's row -> the bytes of an event file; no TensorFlow
    server    OUT/tensorboard -> a running TensorBoard and links into it

`OUT/tensorboard` works with plain `tensorboard --logdir OUT/tensorboard` as well.
"""
