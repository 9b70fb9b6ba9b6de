{#-
    Readers are given what a run has built at its end, in one transaction, if all of it was built and no test failed: until
    then the marts are as they were. With it the dates that the run was of are marked as built, so neither is without the
    other, wherever dbt is killed. The statements go to Postgres in one message: it has all of them, or none.
-#}
{%- macro publish(results) -%}
    {%- set faults = results | selectattr('status', 'in', ['error', 'fail', 'skipped', 'runtime error']) | list -%}
    {%- if execute and invocation_args_dict['selector'] == 'transform' and not faults -%}
        {%- set marts = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model')
            | selectattr('fqn.1', 'equalto', 'marts') | list -%}
        begin;
        {#- Whoever says what the next run is of waits for this, even if the dbt that asked for it is no more. #}
        lock table staging.touched_dates in access exclusive mode;
        {%- for mart in marts %}
        {{ publish_mart(mart) }}
        {%- endfor %}
        {{ mark_built() }}
        truncate staging.touched_dates, {{ built('int_flights_touched') }};
        commit;
    {%- endif -%}
{%- endmacro -%}

{#-
    Makes a mart like what was built in staging. Its config `meta.rebuilt` says which rows a run may have changed; a mart
    without it is compared as a whole. So is one whose comment names another table than the one there is now: a table that
    was made anew may differ anywhere. Rows that are the same stay; a table with other columns or indexes is made anew.
-#}
{%- macro publish_mart(node) -%}
    {%- set new = api.Relation.create(node.database, node.schema, node.alias) -%}
    {%- set mart = api.Relation.create(node.database, 'marts', node.alias) -%}
    {%- set next = api.Relation.create(node.database, 'marts', node.alias ~ '__next') -%}
    {%- set state = run_query(state_of_mart(new, mart)).rows[0] -%}
    {%- set comment = 'Published from ' ~ new.schema ~ '.' ~ new.identifier ~ ', table ' ~ state['table_id'] -%}
    {%- if not state['alike'] %}
        create table {{ next }} (like {{ new }} including all);
        insert into {{ next }} select * from {{ new }};
        analyze {{ next }};
        drop table if exists {{ mart }};
        alter table {{ next }} rename to {{ adapter.quote(node.alias) }};
    {%- else %}
        {%- set limited = 'rebuilt' in node.config.meta and state['comment'] == comment -%}
        {%- set where = 'where ' ~ rebuilt_rows(node.config.meta['rebuilt'], node.alias) if limited else '' -%}
        {%- set key = (node.config.indexes | selectattr('unique') | first).columns %}
        delete from {{ mart }} as old
        using (
            select * from {{ mart }} {{ where }}
            except
            select * from {{ new }} {{ where }}
        ) as gone
        where {% for column in key %}old.{{ column }} = gone.{{ column }}{{ ' and ' if not loop.last }}{% endfor %};
        insert into {{ mart }}
        select * from {{ new }} {{ where }}
        except
        select * from {{ mart }} {{ where }};
    {%- endif %}
    {%- if 'rebuilt' in node.config.meta and state['comment'] != comment %}
        comment on table {{ mart }} is '{{ comment }}';
    {%- endif %}
{%- endmacro -%}

{#- Whether a mart has the columns and indexes of what was built, its comment, and the id of the table that was built. -#}
{%- macro state_of_mart(new, mart) -%}
    with shapes as (
        select
            place,
            id,
            (
                select array_agg(attname || ' ' || format_type(atttypid, atttypmod) order by attnum)
                from pg_attribute
                where attrelid = id and attnum > 0 and not attisdropped
            ) as columns,
            (
                select array_agg(indisunique || regexp_replace(pg_get_indexdef(indexrelid), '^.* USING', '') order by 1)
                from pg_index
                where indrelid = id
            ) as indexes
        from (
            values ('new', cast(to_regclass('{{ new }}') as oid)), ('mart', cast(to_regclass('{{ mart }}') as oid))
        ) as relations (place, id)
    )

    select
        new.id as table_id,
        obj_description(mart.id, 'pg_class') as comment,
        mart.id is not null and (new.columns, new.indexes) is not distinct from (mart.columns, mart.indexes) as alike
    from shapes as new cross join shapes as mart
    where new.place = 'new' and mart.place = 'mart'
{%- endmacro -%}

{#-
    Says of the dates that this run was of that they are built, and how many of their rows staging left out because another
    row has their event_id. Rows that loads have added since are not counted: their date is touched again.
-#}
{%- macro mark_built() -%}
    {%- for (stream,) in run_query('select distinct stream from staging.touched_dates order by stream').rows %}
        {%- set table = stream | replace('.', '_') %}
        update ops.dates as known
        set
            {%- if 'model.sluice.stg_' ~ table in graph.nodes %}
            duplicates = (
                select count(*)
                from raw.{{ adapter.quote(table) }} as loaded
                where
                    loaded._event_date = known.event_date
                    and exists (
                        select 1
                        from {{ built('stg_' ~ table) }} as kept
                        where
                            kept.event_id = loaded.event_id
                            and (kept._topic_id, kept._partition, kept._offset)
                            <> (loaded._topic_id, loaded._partition, loaded._offset)
                    )
            ),
            {%- endif %}
            built_at = now()
        where known.stream = '{{ stream }}' and known.event_date in ({{ touched_dates(table) }});
    {%- endfor %}
        update ops.touched_dates set built_at = now()
        where built_at is null and seq = any(array(select seq from staging.touched_dates));
{%- endmacro -%}
