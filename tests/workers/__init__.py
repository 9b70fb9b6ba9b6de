"""Tests on one platform with Celery workers, which stops when the last of them has ended."""
