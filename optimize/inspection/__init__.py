"""Whether a strategy may be believed: back-tests on request, and the analyses that run as jobs."""
