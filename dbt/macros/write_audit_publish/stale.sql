{#-
    The table staging.stale_partitions (seq, stream, event_date) determines what a run rebuilds: it lists the event dates
    of each stream that have changed since the marts were built. The dates are read when a statement is compiled, and
    inserted as literals: changed variables would make dbt parse the project again, and with a subquery Postgres would
    not know how few dates there are. With --full-refresh everything is rebuilt, and otherwise the models that the table
    staging.transform_whole lists: their columns or their configuration have changed, or their whole table was built and
    has not passed its tests yet. On Spark, every run rebuilds everything.
-#}

{#- Whether the run rebuilds all rows of a model, by default of the current one. -#}
{%- macro rebuilds_everything(node=none) -%}
    {%- if not execute or flags.FULL_REFRESH or target.type == 'spark' -%}
        {{ return(execute) }}
    {%- endif -%}
    {%- set rows = run_query(
        "select model from staging.transform_whole where model = '" ~ (node or model).unique_id ~ "'"
    ).rows -%}
    {{ return(rows | length > 0) }}
{%- endmacro -%}

{#-
    dbt's own question, for its incremental models. Seeds are built only after a file has changed, and then from scratch,
    because their columns may have changed as well.
-#}
{%- macro should_full_refresh() -%}
    {%- set configured = config.get('full_refresh') -%}
    {%- if configured is not none -%}
        {{ return(configured) }}
    {%- endif -%}
    {{ return(model.resource_type == 'seed' or rebuilds_everything()) }}
{%- endmacro -%}

{#- A stream's stale dates as SQL literals, separated by commas. `table`: the stream's raw table or staging model. -#}
{%- macro stale_dates(table) -%}
    {%- set literals = [] -%}
    {%- if execute -%}
        {%- set dates = run_query(
            "select distinct event_date from staging.stale_partitions where replace(stream, '.', '_') = '"
            ~ table.removeprefix('stg_') ~ "' order by event_date"
        ) -%}
        {%- for row in dates.rows -%}
            {%- do literals.append("date '" ~ row[0] ~ "'") -%}
        {%- endfor -%}
    {%- endif -%}
    {{ literals | join(', ') }}
{%- endmacro -%}

{#- The predicate on a stream's stale dates. `table`: as above; `date`: an expression. -#}
{%- macro has_stale_date(table, date='_event_date') -%}
    {%- if rebuilds_everything() -%}
        true
    {%- else -%}
        {%- set dates = stale_dates(table) -%}
        {{ date ~ ' in (' ~ dates ~ ')' if dates else 'false' }}
    {%- endif -%}
{%- endmacro -%}

{#- Whether only stale rows of the current model are rebuilt: its table exists, and not all of it is rebuilt. -#}
{%- macro rebuilds_part() -%}
    {%- set existing = load_cached_relation(this) if execute else none -%}
    {{ return(existing is not none and existing.is_table and not rebuilds_everything()) }}
{%- endmacro -%}

{#-
    The predicate that limits the current model to the rows that a run rebuilds, by its config `rebuild`. `column`: the
    expression for the key in the table that is read, if the key has another name there.
-#}
{%- macro is_stale(column=none) -%}
    {{ is_stale_in(model.name, column) if rebuilds_part() else 'true' }}
{%- endmacro -%}

{#-
    The same predicate for the rows of any model, used by tests and by publishing. `rebuild='key'` in a model's config calls
    the macro `rebuild_by_key(node, column)`.
-#}
{%- macro is_stale_in(name, column=none) -%}
    {%- set node = graph.nodes['model.sluice.' ~ name] if execute else none -%}
    {%- if node and not rebuilds_everything(node) -%}
        {{ context['rebuild_by_' ~ node.config.rebuild](node, column) }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro -%}

{#- The key of the staging models: the event date, which partitions the lake. -#}
{%- macro rebuild_by_event_date(node, column) -%}
    {{ has_stale_date(node.name, column or '_event_date') }}
{%- endmacro -%}

{#- A model's table by name, for use where `ref` is not available or would create a cycle. -#}
{%- macro built(name) -%}
    {{ graph.nodes['model.sluice.' ~ name].relation_name if execute }}
{%- endmacro -%}
