{#- None of the columns is ever null. One query, where not_null would take one for each. -#}
{% test complete(model, columns) %}
    select * from {{ model }}
    where num_nulls({{ columns | join(', ') }}) > 0
{% endtest %}
