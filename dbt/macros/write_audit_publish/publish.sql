{#-
    The last step of write-audit-publish. A run builds and tests its models in the schema `staging`. If every model was
    built and no test failed, this hook publishes them to `marts`, in one transaction that also marks the run's dates as
    built. All statements reach Postgres in one message. So wherever dbt is killed, readers see all of a run or none.

    A run publishes only its own plan: sluice/transform writes the plan under the name of the run, and starts dbt with
    that name. If the plan is missing or belongs to another run, the hook fails.
-#}
{%- macro publish(results) -%}
    {%- set failures = results | selectattr('status', 'in', ['error', 'fail', 'skipped', 'runtime error']) | list -%}
    {%- if execute and invocation_args_dict['which'] == 'build'
        and invocation_args_dict['selector'] == 'transform' and not failures -%}
        {%- set run = dbt_metadata_envs.get('SLUICE_RUN') -%}
        {%- if not run -%}
            {%- do exceptions.raise_compiler_error(
                'nothing is published: this run has no plan of its own. Hint: run dbt with `make dbt A="…"`'
            ) -%}
        {%- endif -%}
        {%- set marts = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model')
            | selectattr('fqn.1', 'equalto', 'marts') | rejectattr('config.materialized', 'equalto', 'ephemeral') | list -%}
        begin;
        {#- The next plan cannot be written until this ends, even if this dbt has been killed in the meantime. #}
        lock table staging.transform_run, staging.stale_partitions in access exclusive mode;
        {{ require_own_plan(run) }}
        {%- for mart in marts %}
        {{ publish_mart(mart) }}
        {%- endfor %}
        {{ mark_built() }}
        truncate
            {% for node in graph.nodes.values() if 'work_list' in node.tags %}{{ node.relation_name }}, {% endfor -%}
            staging.transform_run, staging.stale_partitions;
        commit;
    {%- endif -%}
{%- endmacro -%}

{#- Fails the transaction unless the plan belongs to this run. -#}
{%- macro require_own_plan(run) -%}
        do $plan$
        begin
            if not exists (select from staging.transform_run where run = '{{ run | replace("'", "''") }}') then
                raise exception 'nothing is published: the plan is missing or belongs to another run';
            end if;
        end
        $plan$;
{%- endmacro -%}

{#-
    Makes a mart equal to the table that was built in staging. Equal rows are not touched. If the mart is rebuilt by key,
    only the rows that the run may have changed are compared. The whole mart is compared if its comment names another
    table than the current one, because a table that was built from scratch may differ anywhere. The mart is replaced if
    it has no unique index, or if its columns or indexes differ from those of the built table.
-#}
{%- macro publish_mart(node) -%}
    {%- set new = api.Relation.create(node.database, node.schema, node.alias) -%}
    {%- set mart = api.Relation.create(node.database, 'marts', node.alias) -%}
    {%- set next = api.Relation.create(node.database, 'marts', node.alias ~ '__next') -%}
    {%- set state = run_query(state_of_mart(new, mart)).rows[0] -%}
    {%- set comment = 'Published from ' ~ new.schema ~ '.' ~ new.identifier ~ ', table ' ~ state['table_id'] -%}
    {%- set key = node.config.get('indexes', []) | selectattr('unique', 'defined') | selectattr('unique') | first -%}
    {%- set by_key = node.config.get('rebuild') is not none -%}
    {%- if not key or not state['same_shape'] %}
        create table {{ next }} (like {{ new }} including all);
        insert into {{ next }} select * from {{ new }};
        analyze {{ next }};
        drop table if exists {{ mart }};
        alter table {{ next }} rename to {{ adapter.quote(node.alias) }};
    {%- else %}
        {%- set where = 'where ' ~ is_stale_in(node.name) if by_key and state['comment'] == comment else '' %}
        delete from {{ mart }} as old
        using (
            select * from {{ mart }} {{ where }}
            except
            select * from {{ new }} {{ where }}
        ) as gone
        where {% for column in key.columns %}old.{{ column }} = gone.{{ column }}{{ ' and ' if not loop.last }}{% endfor %};
        insert into {{ mart }}
        select * from {{ new }} {{ where }}
        except
        select * from {{ mart }} {{ where }};
    {%- endif %}
    {%- if by_key and state['comment'] != comment %}
        comment on table {{ mart }} is '{{ comment }}';
    {%- endif %}
{%- endmacro -%}

{#- The built table's id, the mart's comment, and whether both tables have the same columns and indexes. -#}
{%- macro state_of_mart(new, mart) -%}
    with shapes as (
        select
            name,
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
        ) as relations (name, id)
    )

    select
        new.id as table_id,
        obj_description(mart.id, 'pg_class') as comment,
        mart.id is not null and (new.columns, new.indexes) is not distinct from (mart.columns, mart.indexes) as same_shape
    from shapes as new cross join shapes as mart
    where new.name = 'new' and mart.name = 'mart'
{%- endmacro -%}

{#-
    Marks the run's dates as built, and records the number of duplicates: rows that staging left out because another row
    with the same event_id was kept. Rows that loads have added since are not counted; their date is stale again.
-#}
{%- macro mark_built() -%}
    {%- for (stream,) in run_query('select distinct stream from staging.stale_partitions order by stream').rows %}
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
        where known.stream = '{{ stream }}' and known.event_date in ({{ stale_dates(table) }});
    {%- endfor %}
        update ops.stale_dates set built_at = now()
        where built_at is null and seq = any(array(select seq from staging.stale_partitions));
{%- endmacro -%}
