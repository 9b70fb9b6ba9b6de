-- The comments of marts belong to their users. Earlier versions kept there what a mart was published from, which is now
-- in staging.transform_publications.
do $$
declare
    mart regclass;
begin
    for mart in
        select c.oid
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'marts' and c.relkind = 'r'
            and obj_description(c.oid, 'pg_class') ~ '^Published from staging\..*, table \d+$'
    loop
        execute format('comment on table %s is null', mart);
    end loop;
end
$$;
