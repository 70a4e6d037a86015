"""The search for a strategy's parameters: every combination over every fold, judged out of sample."""
