"""The tests; see CONTRIBUTING.md for its suites."""
