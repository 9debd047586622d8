"""What to freeze to stay within a step-time budget, found exactly over the cost model."""
