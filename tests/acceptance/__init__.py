"""Tests on one platform, which stops when the last of them has ended."""
