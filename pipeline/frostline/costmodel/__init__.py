"""From a few profiled anchors to the step time of every freeze configuration. Pure."""
