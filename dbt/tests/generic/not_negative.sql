{#- None of the columns is negative. Nulls pass. -#}
{% test not_negative(model, columns) %}
    select * from {{ model }}
    where least({{ columns | join(', ') }}) < 0
{% endtest %}
