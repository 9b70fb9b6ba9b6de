{#- The expression is not false for any row. -#}
{% test holds(model, expression) %}
    select * from {{ model }}
    where not ({{ expression }})
{% endtest %}
