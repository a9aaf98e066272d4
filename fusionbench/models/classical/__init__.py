"""Methods for pairs that learn nothing."""
