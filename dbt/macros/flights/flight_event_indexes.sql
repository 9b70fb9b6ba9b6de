{#- The indexes of a staging model of flight events. -#}
{%- macro flight_event_indexes() -%}
    {{ return([
        {'columns': ['event_id'], 'unique': true},
        {'columns': ['_event_date']},
        {'columns': ['flight_id']},
    ]) }}
{%- endmacro -%}
