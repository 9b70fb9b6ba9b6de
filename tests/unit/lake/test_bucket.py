"""The rights and keys of Spark's programs, which have a bucket of their own."""

import pytest
from pydantic import SecretStr

from sluice.errors import TerminalError
from sluice.lake import bucket
from sluice.settings import Settings

PAIR = {"s3_access_key": "common", "s3_secret_key": SecretStr("common-secret")}
PAIRS = {f"lake_{user}_access_key": user for user in ("writer", "reader", "keeper")}


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, lakehouse_password=SecretStr("own"), **values)  # type: ignore[call-arg, arg-type]


def test_sparks_programs_write_only_the_bucket_of_their_tables() -> None:
    rights = bucket.lakehouse_policy(settings(lake_bucket="events", warehouse_bucket="tables"))
    lake, tables = rights["Statement"]
    assert lake["Resource"] == ["arn:aws:s3:::events", "arn:aws:s3:::events/*"]
    assert lake == bucket.policy("events", "reader")["Statement"][0]
    assert not {action for action in lake["Action"] if "Put" in action or "Delete" in action}
    assert tables["Resource"] == ["arn:aws:s3:::tables", "arn:aws:s3:::tables/*"]
    assert {"s3:PutObject", "s3:DeleteObject", "s3:GetObject", "s3:ListBucket"} <= {*tables["Action"]}


def test_sparks_programs_have_keys_of_their_own_or_the_common_pair() -> None:
    assert bucket.credentials(settings(), "lakehouse") == ("sluice-lakehouse", "own")
    endpoint = {"s3_endpoint": "https://s3.example.com"}
    assert bucket.credentials(settings(**endpoint, **PAIR), "lakehouse") == ("common", "common-secret")
    own = settings(**endpoint, **PAIR, lakehouse_access_key="spark")
    assert bucket.credentials(own, "lakehouse") == ("spark", "own")


def test_without_spark_no_keys_for_it_are_needed() -> None:
    without = settings(s3_endpoint="https://s3.example.com", **PAIRS)
    assert list(without.faults()) == []
    with pytest.raises(TerminalError, match=r"^the setting SLUICE_LAKEHOUSE_ACCESS_KEY is missing.*LAKEHOUSE_PASSWORD"):
        bucket.credentials(without, "lakehouse")
