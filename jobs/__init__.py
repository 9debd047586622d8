"""What is submitted to a Ray cluster from a checkout: thin entry points over the commands."""
