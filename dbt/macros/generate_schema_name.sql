{#- Uses the configured schema name unchanged. By default dbt prefixes it with the profile's schema. -#}
{%- macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro -%}
