{#- None of the columns is ever null. One query, whereas not_null would need one per column. -#}
{% test complete(model, columns) %}
    select * from {{ model }}
    where {{ columns | join(' is null or ') }} is null
{% endtest %}
