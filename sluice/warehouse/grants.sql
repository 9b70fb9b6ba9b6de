-- Repeated by each provisioning, after the tables and views. What the loader must not write is revoked, so that a
-- warehouse that granted more is corrected.
grant usage on schema raw, ops to sluice_loader, sluice_transformer, sluice_reader;
grant select, insert, update, delete on all tables in schema raw, ops to sluice_loader;
revoke update, delete on ops.loads from sluice_loader;
revoke insert, update, delete on ops.ledger_ends, ops.migrations from sluice_loader;
grant select on all tables in schema raw to sluice_transformer, sluice_reader;
grant select on ops.stale_dates to sluice_transformer;
grant insert (stream, event_date), update (built_at) on ops.stale_dates to sluice_transformer;
grant select on ops.dates to sluice_transformer;
grant update (duplicates, built_at) on ops.dates to sluice_transformer;
revoke all on function ops.sessions_holding_mart from public;
grant execute on function ops.sessions_holding_mart to sluice_transformer;
grant select on all tables in schema ops to sluice_reader;
grant usage on schema marts to sluice_reader;
-- What dbt builds there has not passed its tests.
revoke usage on schema staging from sluice_reader;
grant select on all tables in schema marts to sluice_reader;
alter default privileges for role sluice_transformer in schema marts grant select on tables to sluice_reader;
grant usage on schema live to sluice_live, sluice_reader;
grant select, insert, update on live.partitions to sluice_live;
grant select, update on live.heartbeat to sluice_live;
grant select on all tables in schema live to sluice_reader;
