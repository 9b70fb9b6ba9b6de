"""Which values of a number would change with its type; the conditions run in Postgres in the integration tests."""

import pytest

from sluice.warehouse.narrowing import conversion, is_number, misfits


@pytest.mark.parametrize(
    ("before", "after", "condition"),
    [
        ("integer", "bigint", ""),
        ("integer", "double precision", ""),
        ("integer", "numeric(10,0)", ""),
        ("integer", "numeric(9,0)", "x <= -1000000000 or x >= 1000000000"),
        ("integer", "numeric(12,2)", ""),
        ("bigint", "integer", "x <= -2147483649 or x >= 2147483648"),
        ("bigint", "double precision", "abs(x) > 9007199254740992"),
        ("numeric(5,2)", "numeric(7,3)", ""),
        ("numeric(5,2)", "numeric(4,2)", "x <= -100 or x >= 100"),
        ("numeric(5,2)", "numeric(5,1)", "x <> round(x, 1)"),
        ("numeric(5,2)", "numeric(5,4)", "x <= -10 or x >= 10"),
        ("numeric(5,2)", "integer", "x <> round(x, 0)"),
        ("numeric(12,0)", "integer", "x <= -2147483649 or x >= 2147483648"),
        ("numeric(15,3)", "double precision", ""),
        ("numeric(16,3)", "double precision", "x <> x::double precision::numeric"),
        ("double precision", "integer", "x <= -2147483649 or x >= 2147483648 or x <> trunc(x)"),
        (
            "double precision",
            "numeric(5,2)",
            "x <= -1000 or x >= 1000 or x <> round(x::numeric, 2)::double precision",
        ),
        ("text", "integer", "x is not null"),
        ("date", "timestamp with time zone", "x is not null"),
        ("integer[]", "bigint[]", ""),
        ("numeric(5,2)[]", "numeric(7,2)[]", ""),
        (
            "bigint[]",
            "integer[]",
            "exists (select from unnest(x) as item where item <= -2147483649 or item >= 2147483648)",
        ),
        ("numeric(5,2)[]", "numeric(5,1)[]", "exists (select from unnest(x) as item where item <> round(item, 1))"),
        ("integer", "integer[]", "x is not null"),
        ("integer[]", "integer", "x is not null"),
        ("text[]", "integer[]", "x is not null"),
        ("integer[]", "text", "x is not null"),
        ("text", "text[]", "x is not null"),
        ("jsonb", "text", "x is not null"),
        ("timestamp with time zone[]", "jsonb", "x is not null"),
        ("timestamp with time zone[]", "text[]", "x is not null"),
        ("numeric", "text", "x is not null"),
        ("integer", "text", "x is not null"),
        ("uuid", "text", ""),
        ("text", "jsonb", ""),
    ],
)
def test_a_misfit_is_a_value_that_would_change(before: str, after: str, condition: str) -> None:
    assert misfits("x", before, after) == condition


def test_only_numbers_are_converted() -> None:
    numbers = ("integer", "bigint", "double precision", "numeric(5,2)")
    assert all(map(is_number, numbers))
    assert not any(map(is_number, ("text", "date", "numeric", "integer[]", "jsonb")))


@pytest.mark.parametrize(
    ("before", "after", "expression"),
    [
        ("integer", "bigint", ""),
        ("integer[]", "numeric(12,2)[]", ""),
        ("bigint", "text", None),
        ("numeric(5,2)", "text", None),
        ("double precision", "text", None),
        ("boolean", "text", None),
        ("uuid", "text", "{0}::text"),
        ("time without time zone", "text", "{0}::text"),
        ("uuid[]", "text[]", "{0}::text[]"),
        ("bigint[]", "text[]", None),
        ("date", "text", "to_char({0}, 'YYYY-MM-DD')"),
        # Events may have a number since 1970.
        ("timestamp with time zone", "text", None),
        ("text", "jsonb", "to_jsonb({0})"),
        ("boolean", "jsonb", "to_jsonb({0})"),
        ("numeric(5,2)", "jsonb", "to_jsonb({0})"),
        ("text[]", "jsonb", "to_jsonb({0})"),
        ("integer[]", "jsonb", "to_jsonb({0})"),
        ("date[]", "jsonb", "to_jsonb({0})"),
        (
            "timestamp with time zone",
            "jsonb",
            "to_jsonb(rtrim(rtrim(to_char({0} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '0'), '.') || 'Z')",
        ),
        ("text", "uuid", None),
        ("text", "date", None),
        ("jsonb", "text[]", None),
        ("date", "timestamp with time zone", None),
        # Their texts would depend on the session.
        ("date[]", "text[]", None),
    ],
)
def test_values_become_those_of_a_type_that_has_room_for_all_of_them(
    before: str, after: str, expression: str | None
) -> None:
    assert conversion(before, after) == expression
