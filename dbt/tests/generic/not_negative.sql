{#- None of the columns is below zero; null is no fault here. -#}
{% test not_negative(model, columns) %}
    select * from {{ model }}
    where least({{ columns | join(', ') }}) < 0
{% endtest %}
