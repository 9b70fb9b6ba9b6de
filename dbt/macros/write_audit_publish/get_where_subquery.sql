{#-
    Limits a test to the rows of its `where` and, for a model that is rebuilt by key, to the rows that the run has
    rebuilt. dbt calls this macro for each test. With --full-refresh, tests read whole tables.
-#}
{%- macro get_where_subquery(relation) -%}
    {%- set conditions = [config.get('where')] if config.get('where') else [] -%}
    {%- set models = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model')
        | selectattr('alias', 'equalto', relation.identifier) | selectattr('config.rebuild', 'defined') | list if execute else [] -%}
    {%- for node in models -%}
        {%- do conditions.append(is_stale_in(node.name)) -%}
    {%- endfor -%}
    {%- if conditions -%}
        (select * from {{ relation }} where {{ conditions | join(' and ') }}) as tested_rows
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro -%}
