{#- Every table has its place in the store, also for a session that has just begun and knows none. -#}
{%- macro spark__location_clause() -%}
    location '{{ env_var("SLUICE_LAKEHOUSE") }}/{{ this.schema }}/{{ this.identifier }}'
{%- endmacro -%}

{#- A seed replaces what its place has: to drop a table would leave its rows in the store. -#}
{%- macro spark__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
    {{ return(create_csv_table(model, agate_table)) }}
{%- endmacro -%}

{%- macro spark__create_csv_table(model, agate_table) -%}
    {%- set columns = [] -%}
    {%- for name in agate_table.column_names -%}
        {%- do columns.append(adapter.quote(name) ~ ' ' ~ spark_seed_type(agate_table, loop.index0)) -%}
    {%- endfor -%}
    {%- call statement('_') -%}
        create or replace table {{ this }} ({{ columns | join(', ') }})
        {{ file_format_clause() }}
        {{ location_clause() }}
    {%- endcall -%}
{%- endmacro -%}

{%- macro spark__load_csv_rows(model, agate_table) -%}
    {%- for rows in agate_table.rows | batch(get_batch_size()) -%}
        {%- set tuples = [] -%}
        {%- for row in rows -%}
            {%- set values = [] -%}
            {%- for value in row -%}
                {%- set type = spark_seed_type(agate_table, loop.index0) -%}
                {%- do values.append('cast(' ~ spark_literal(value) ~ ' as ' ~ type ~ ')') -%}
            {%- endfor -%}
            {%- do tuples.append('(' ~ values | join(', ') ~ ')') -%}
        {%- endfor -%}
        {%- do adapter.add_query('insert into ' ~ this ~ ' values ' ~ tuples | join(', '), abridge_sql_log=True) -%}
    {%- endfor -%}
{%- endmacro -%}

{#- A value as a literal. dbt's own way of passing values to a session does not escape quotes. -#}
{%- macro spark_literal(value) -%}
    {%- if value is none -%}
        {{ return('null') }}
    {%- endif -%}
    {%- set backslash = '\\' -%}
    {{ return("'" ~ value | string | replace(backslash, backslash ~ backslash) | replace("'", backslash ~ "'") ~ "'") }}
{%- endmacro -%}

{#- The type of a seed's column, which its file of properties names as Postgres does. -#}
{%- macro spark_seed_type(agate_table, index) -%}
    {%- set declared = config.get('column_types', {}).get(agate_table.column_names[index]) -%}
    {%- set names = {'text': 'string', 'double precision': 'double', 'timestamptz': 'timestamp'} -%}
    {{ return(names.get(declared, declared) or adapter.convert_type(agate_table, index)) }}
{%- endmacro -%}
