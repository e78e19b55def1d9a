"""What the client suites stand on: servers to test, results to count, bytes to send.

Standard library only, so that everything but the suites' own packages runs on a bare Python 3.11.
"""
