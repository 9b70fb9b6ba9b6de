{#- The event date is the UTC date of the column. -#}
{% test dated_by(model, column) %}
    select * from {{ model }}
    where not (_event_date = {{ utc_date(column) }})
{% endtest %}
