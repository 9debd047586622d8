"""From profiled ops to layers and passes: by the graph, by names only where there is none."""
