"""The only part that imports TensorFlow and Keras: it builds, freezes, steps and profiles models.

`messages` and `client` are the doors to the rest of the program and import neither.
"""
