{#- None of the columns is negative. Nulls pass. -#}
{% test not_negative(model, columns) %}
    select * from {{ model }}
    where {{ columns | join(' < 0 or ') }} < 0
{% endtest %}
