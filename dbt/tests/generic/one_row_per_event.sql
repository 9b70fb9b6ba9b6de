{#-
    A staging model has one row per event: no two with the same id of the contract, or, if nothing identifies an event,
    from the same record. `table`: the stream's raw table.
-#}
{% test one_row_per_event(model, table) %}
    select
        {{ identity_of(table) | join(', ') }},
        count(*) as row_count
    from {{ model }}
    group by {{ identity_of(table) | join(', ') }}
    having count(*) > 1
{% endtest %}
