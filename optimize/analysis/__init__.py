"""What a strategy does and whether it may be believed: look-ahead, warm-up, parity with live decisions, back-test reports.

Plain data in, plain data out: NumPy, no compiler and no Django, so that the web process may use all of it.
"""
