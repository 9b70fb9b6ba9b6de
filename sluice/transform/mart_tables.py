"""One mart's table: how it differs from the table that dbt built, and the statements that make both equal."""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from sluice.transform.stale import Connection

MARTS = "marts"
"""The schema of the marts."""
_TABLE = """
select
    c.oid,
    cast(c.relkind as text),
    array(
        select attname || ' ' || format_type(atttypid, atttypmod) from pg_attribute
        where attrelid = c.oid and attnum > 0 and not attisdropped
        order by attnum
    ),
    array(
        select indisunique || regexp_replace(pg_get_indexdef(indexrelid), '^.* USING', '') from pg_index
        where indrelid = c.oid
        order by 1
    ),
    array(
        select attname from pg_attribute
        where attrelid = c.oid and attnum = any(array(
            select unnest((cast(indkey as int2 []))[0:indnkeyatts - 1]) from pg_index
            where indexrelid = (
                select indexrelid from pg_index
                where indrelid = c.oid and indisunique and indpred is null and indexprs is null
                order by indnkeyatts, indexrelid
                limit 1
            )
        ))
        order by attnum
    )
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relname = %s"""
_INHERITED = """
with privileges as (
    select c.oid, acl.*, null as attname from pg_class as c, aclexplode(relacl) as acl
    where grantee <> relowner
    union all
    select c.oid, acl.*, attname
    from pg_class as c join pg_attribute on attrelid = c.oid, aclexplode(attacl) as acl
    where acl.grantee <> c.relowner
        and attname in (select attname from pg_attribute where attrelid = %(next)s and attnum > 0)
),

grantees as (
    select *, case when grantee = 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end as role from privileges
)

select format('revoke all on %%s from %%s', %(next)s::regclass, role) from grantees where oid = %(next)s
union all
select format(
    'grant %%s%%s on %%s to %%s%%s', privilege_type, ' (' || quote_ident(attname) || ')', %(next)s::regclass, role,
    case when is_grantable then ' with grant option' end
)
from grantees where oid = %(mart)s
union all
select format('comment on table %%s is %%L', %(next)s::regclass, obj_description(%(mart)s, 'pg_class'))
where obj_description(%(mart)s, 'pg_class') is not null and obj_description(%(next)s, 'pg_class') is null
union all
select format(
    'comment on column %%s.%%I is %%L', %(next)s::regclass, old.attname, col_description(%(mart)s, old.attnum)
)
from pg_attribute as old join pg_attribute as new using (attname)
where old.attrelid = %(mart)s and new.attrelid = %(next)s and new.attnum > 0
    and col_description(%(mart)s, old.attnum) is not null and col_description(%(next)s, new.attnum) is null
union all
select format('alter table %%s owner to %%I', %(next)s::regclass, pg_get_userbyid(old.relowner))
from pg_class as old, pg_class as new
where old.oid = %(mart)s and new.oid = %(next)s and old.relowner <> new.relowner"""
"""The statements that give a table the grants, comments and owner of another one."""
_INDEXES = """
select case
    when keys.oid is not null then format('alter table %%s add %%s', %(next)s::regclass, pg_get_constraintdef(keys.oid))
    else regexp_replace(
        pg_get_indexdef(indexrelid),
        '^CREATE (UNIQUE )?INDEX .* USING',
        format('CREATE \\1INDEX ON %%s USING', %(next)s::regclass)
    )
end
from pg_index left join pg_constraint as keys on conindid = indexrelid and conrelid = indrelid
where indrelid = %(new)s
order by indexrelid"""
"""The statements that give a table the indexes and keys of another one."""


@dataclass(frozen=True)
class Table:
    """A relation in ``staging`` or ``marts``."""

    name: sql.Identifier
    oid: int
    kind: str
    """As in ``pg_class.relkind``."""
    columns: list[str]
    """Names and types, in order."""
    indexes: list[str]
    """Definitions, without names."""
    key: list[str]
    """The columns of a unique index, if there is one."""

    def same_shape(self, other: "Table") -> bool:
        """Returns whether both have the same columns and indexes, so that rows of one can be rows of the other."""
        return (self.columns, self.indexes) == (other.columns, other.indexes)


def find_table(connection: Connection, schema: str, name: str) -> Table | None:
    """Returns the relation of this name, of whatever kind; None if there is none."""
    row: Any = connection.execute(_TABLE, (schema, name)).fetchone()
    return Table(sql.Identifier(schema, name), *row) if row else None


def write(connection: Connection, new: Table, mart: Table, predicate: str) -> None:
    """Makes a mart's rows equal to those of a table of the same shape, without a lock that readers notice.

    With a unique key only the rows that differ are written, among those that the predicate selects. Without one, and if
    rows cannot be compared or a key has moved from a row that the predicate does not select, all rows are.
    """
    if new.key:
        try:
            with connection.transaction():
                _write_differences(connection, new, mart, sql.SQL(predicate))
            return
        except (psycopg.errors.UndefinedFunction, psycopg.errors.UniqueViolation):
            pass
    connection.execute(sql.SQL("delete from {}").format(mart.name))
    connection.execute(sql.SQL("insert into {} select * from {}").format(mart.name, new.name))


def _write_differences(connection: Connection, new: Table, mart: Table, rows: sql.SQL) -> None:
    key = [sql.Identifier(column) for column in new.key]
    names = {
        "mart": mart.name,
        "new": new.name,
        "rows": rows,
        "key": sql.SQL(", ").join(key),
        "equal": sql.SQL(" and ").join(sql.SQL("old.{0} = gone.{0}").format(column) for column in key),
    }
    # A unique index allows any number of rows whose key has nulls. All of them are deleted and inserted again.
    for statement in (
        "delete from {mart} as old using ("
        " select * from {mart} where {rows} except all select * from {new} where {rows}"
        ") as gone where {equal}",
        "delete from {mart} where num_nulls({key}) > 0 and {rows}",
        "insert into {mart} select * from {new} where {rows} except all select * from {mart} where {rows}",
    ):
        connection.execute(sql.SQL(statement).format(**names))


def prepare_replacement(connection: Connection, new: Table, mart: Table | None) -> Table:
    """Creates a copy of a built relation as a table in ``marts``, with the owner, grants and comments of the mart.

    Readers notice nothing until ``replace``.
    """
    name = f"__next_{new.oid}"
    names = {"next": sql.Identifier(MARTS, name), "new": new.name}
    for statement in (
        "create table {next} (like {new} including all excluding indexes)",
        "insert into {next} select * from {new}",
    ):
        connection.execute(sql.SQL(statement).format(**names))
    # Built from all rows at once, which is several times as fast as row by row.
    for (created,) in connection.execute(_INDEXES, {"new": new.oid, "next": f"{MARTS}.{name}"}).fetchall():
        connection.execute(str(created).encode())
    connection.execute(sql.SQL("analyze {next}").format(**names))
    replacement = find_table(connection, MARTS, name)
    assert replacement is not None
    if mart is not None:
        for (inherited,) in connection.execute(_INHERITED, {"mart": mart.oid, "next": replacement.oid}).fetchall():
            connection.execute(str(inherited).encode())
    return replacement


def replace(connection: Connection, replacement: Table, name: str) -> None:
    """Puts a prepared table in the place of the mart, if it exists. Waits for its readers, and later ones wait."""
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(MARTS, name)))
    connection.execute(sql.SQL("alter table {} rename to {}").format(replacement.name, sql.Identifier(name)))
