{#-
    A table of which each run rebuilds only the rows with stale keys: it deletes and inserts them in one transaction. The
    model's config `rebuild` names the key, once for its body (`is_stale`), its tests (`get_where_subquery`) and its
    publication (`staging.transform_stale_rows`). If there is no table yet, and if the run rebuilds all of it, the whole
    table is built, and tested: it stays in `staging.transform_whole` until all its tests have passed.

    A row with an id (`row_id`) also replaces the row that has the same id under another, fresh date. The dates between
    which rows of a staging model move become stale themselves (`mark_moved`). Of a stream whose contract has `deletes`, a
    row that is `_deleted` removes the others and is not kept.
-#}
{%- materialization by_key, adapter='postgres' -%}
    {%- set target = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}

    {%- set id = row_id() -%}
    {%- set kept = 'where _deleted is not true' if staged_contract().get('deletes') else '' -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- if rebuilds_part() %}
        {%- set columns = columns_of_query(sql, existing) -%}
        {%- set built = make_temp_relation(target) -%}
        {%- call statement('main') %}
            {%- if id %}
            {#- Built before rows are deleted: the query also looks for events that are about to disappear. #}
            create temporary table {{ built }} on commit drop as
            {{ sql }};
            {%- if config.get('rebuild') == 'event_date' %}
            {{ mark_moved(model.name, target, built, id) }};
            {%- endif %}
            delete from {{ target }} where {{ is_stale() }};
            delete from {{ target }} where ({{ id | join(', ') }}) in (select {{ id | join(', ') }} from {{ built }});
            insert into {{ target }} ({{ columns }}) select {{ columns }} from {{ built }} {{ kept }};
            {%- else %}
            delete from {{ target }} where {{ is_stale() }};
            insert into {{ target }} ({{ columns }})
            {{ sql }};
            {%- endif %}
            insert into staging.transform_stale_rows (model, predicate)
            values ('{{ model.unique_id }}', $predicate${{ is_stale() }}$predicate$)
            on conflict (model) do update set predicate = excluded.predicate
        {%- endcall %}
    {%- else %}
        {%- set replacement = make_intermediate_relation(target) -%}
        {{ drop_relation_if_exists(load_cached_relation(replacement)) }}
        {%- call statement('main') %}
            {{ get_create_table_as_sql(False, replacement, 'select * from (' ~ sql ~ ') as rows ' ~ kept if kept else sql) }}
        {%- endcall %}
        {%- do create_indexes(replacement) %}
        {%- do index_events(replacement) %}
        {{ drop_relation_if_exists(existing) }}
        {%- do adapter.rename_relation(replacement, target) %}
        {%- do run_query("insert into staging.transform_whole values ('" ~ model.unique_id ~ "') on conflict do nothing") %}
    {%- endif %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target]}) }}
{%- endmaterialization -%}

{#- A staging model has a unique index on the contract's id, unless it declares one: it follows when the id changes. -#}
{%- macro index_events(relation) -%}
    {%- set id = quoted(staged_contract().get('id', [])) -%}
    {%- set declared = [] -%}
    {%- for index in config.get('indexes', []) if index.get('unique') -%}
        {%- do declared.append(quoted(index['columns']) | sort) -%}
    {%- endfor -%}
    {%- if id and id | sort not in declared -%}
        {%- do run_query('create unique index on ' ~ relation ~ ' (' ~ id | join(', ') ~ ')') -%}
    {%- endif -%}
{%- endmacro -%}

{#-
    A model's columns, quoted, in the order of its query. Fails if the table has different columns or types. A staging
    model's query also reads the columns of the id from the table: if one is missing there, it cannot run at all.
-#}
{%- macro columns_of_query(sql, table) -%}
    {%- set expected, actual, missing = {}, {}, [] -%}
    {%- for column in get_column_schema_from_query('select * from ' ~ table) -%}
        {%- do actual.update({column.name: column.data_type}) -%}
    {%- endfor -%}
    {%- for column in row_id() if column | replace('"', '') not in actual -%}
        {%- do missing.append(column | replace('"', '') ~ ' is missing') -%}
    {%- endfor -%}
    {%- if missing -%}{%- do raise_out_of_date(table, missing | join(', ')) -%}{%- endif -%}
    {%- for column in get_column_schema_from_query(sql) -%}
        {%- do expected.update({column.name: column.data_type}) -%}
    {%- endfor -%}
    {%- if expected != actual -%}{%- do raise_out_of_date(table, describe_difference(expected, actual)) -%}{%- endif -%}
    {{ return(adapter.quote(expected.keys() | join('", "'))) }}
{%- endmacro -%}

{#- Fails with a message that the transform recognises: it rebuilds the whole model. -#}
{%- macro raise_out_of_date(table, differences) -%}
    {%- do exceptions.raise_compiler_error(
        'the columns of ' ~ table ~ ' are out of date: ' ~ differences ~ '. Hint: `make transform` rebuilds the whole table'
    ) -%}
{%- endmacro -%}

{%- macro describe_difference(expected, actual) -%}
    {%- set differences = [] -%}
    {%- for name in expected if name not in actual -%}{%- do differences.append(name ~ ' is missing') -%}{%- endfor -%}
    {%- for name in actual if name not in expected -%}{%- do differences.append(name ~ ' is not in the model') -%}{%- endfor -%}
    {%- for name in expected if name in actual and expected[name] != actual[name] -%}
        {%- do differences.append(name ~ ' is ' ~ actual[name] ~ ', not ' ~ expected[name]) -%}
    {%- endfor -%}
    {{ return(differences | join(', ')) }}
{%- endmacro -%}
