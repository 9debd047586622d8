"""Attributes profiled ops to layers and passes: by the traced graph, else by the ops' names."""
