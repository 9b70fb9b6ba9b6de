{#-
    Inserts the rows of a seed, instead of dbt's macro of this name: that one calls a macro for each value, a millisecond
    per row. This one writes the placeholders of a row once.
-#}
{%- macro postgres__load_csv_rows(model, agate_table) -%}
    {%- set columns = get_seed_column_quoted_csv(model, agate_table.column_names) -%}
    {%- set row = "(" ~ ([get_binding_char()] * (agate_table.column_names | length)) | join(", ") ~ ")" -%}
    {%- set statements = [] -%}
    {%- for rows in agate_table.rows | batch(get_batch_size()) -%}
        {%- set values = [] -%}
        {%- for values_of_row in rows -%}{%- do values.extend(values_of_row) -%}{%- endfor -%}
        {%- set statement -%}
            insert into {{ this.render() }} ({{ columns }}) values {{ ([row] * (rows | length)) | join(", ") }}
        {%- endset -%}
        {%- do adapter.add_query(statement, bindings=values, abridge_sql_log=True) -%}
        {%- do statements.append(statement) -%}
    {%- endfor -%}
    {{ return(statements | first) }}
{%- endmacro -%}
