"""Search for better parameters and prove them out of sample."""
