{#- The event dates of quakes.reported whose events have changed, for `config(rebuild='quakes_reported_date')`. -#}
{%- macro rebuild_by_quakes_reported_date(node, column) -%}
    {{ has_stale_date('quakes_reported', column or 'event_date') }}
{%- endmacro -%}
