"""TensorBoard on a sweep.

    hparams     the columns and scalars of a trial in TensorBoard, as literal data
    events      a trial's row -> the bytes of an event file; no TensorFlow
    experiment  the event file of a whole sweep
    runs        what runs are called, and a folder in which they have these names
    server      OUT/tensorboard -> a running TensorBoard and links into it
    process     the server's own process, which ends with the one that started it

`OUT/tensorboard` works with plain `tensorboard --logdir OUT/tensorboard` as well.
"""
