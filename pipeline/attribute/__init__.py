"""From profiled ops to layers and passes: by the traced graph, with names only where it is absent."""
