{#-
    On Spark, a run rebuilds whole tables: it reads and writes them on all of the cluster's machines. Each replaces its
    table in one commit, and the earlier version stays readable. What is published is in the table of
    publications (`sluice.lakehouse.publish`).
-#}
{%- materialization by_key, adapter='spark' -%}
    {%- set kept = 'where _deleted is not true' if staged_contract().get('deletes') else '' -%}

    {{ run_hooks(pre_hooks) }}
    {%- call statement('main') %}
        {{ create_table_as(False, this, 'select * from (' ~ sql ~ ') as rows ' ~ kept if kept else sql) }}
    {%- endcall %}
    {{ run_hooks(post_hooks) }}

    {{ return({'relations': [this.incorporate(type='table')]}) }}
{%- endmaterialization -%}
