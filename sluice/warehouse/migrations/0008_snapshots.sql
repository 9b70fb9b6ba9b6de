-- The history of dbt's snapshots, which nothing can rebuild: so it is not in `staging`, which a rebuild of the warehouse
-- empties. The transform publishes copies in `marts`.
create schema if not exists snapshots authorization sluice_transformer;
