{#-
    Everything is built in the schema `staging`, also a model that names another schema or database, or that another
    package brings: dbt may create no schema, and marts are published, not built, in `marts`. Snapshots are the exception:
    nothing can rebuild their history, so they have a schema that nothing empties.
-#}
{%- macro generate_schema_name(custom_schema_name, node) -%}
    {{ 'snapshots' if node.resource_type == 'snapshot' else target.schema }}
{%- endmacro -%}

{%- macro generate_database_name(custom_database_name, node) -%}
    {{ target.database }}
{%- endmacro -%}
