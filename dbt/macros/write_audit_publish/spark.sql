{#-
    On Spark, a run rebuilds whole tables: it reads and writes them on all of the cluster's machines. Each replaces its
    table in one commit, and the earlier version stays readable. What is published is in the table of
    publications (`publish` in `sluice.lakehouse.spark.models`).
-#}
{%- macro build_on_spark(query) -%}
    {{ run_hooks(pre_hooks) }}
    {%- call statement('main') %}
        {{ create_table_as(False, this, query) }}
    {%- endcall %}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [this.incorporate(type='table')]}) }}
{%- endmacro -%}

{%- materialization by_key, adapter='spark' -%}
    {%- set kept = 'where _deleted is not true' if staged_contract().get('deletes') else '' -%}
    {{ return(build_on_spark('select * from (' ~ sql ~ ') as rows ' ~ kept if kept else sql)) }}
{%- endmaterialization -%}

{#- The list of what a run rebuilds: all of it is rebuilt, so that nothing reads the list. -#}
{%- materialization empty_table, adapter='spark' -%}
    {{ return(build_on_spark('select * from (' ~ sql ~ ') as rows where false')) }}
{%- endmaterialization -%}
