"""What is submitted to a Ray cluster: thin entry points."""
