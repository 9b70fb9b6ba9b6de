{#-
    At the end of a run that has rebuilt all that follows from int_flights_touched, and whose tests have passed, empties it.
    After any other run its rows stay, for a retry and for the next run: what the marts held before may be known to
    nothing else by then, and tests look at the touched flights.
-#}
{%- macro empty_work_list(results) -%}
    {%- set work_list = ref('int_flights_touched') -%}
    {%- if execute -%}
        {%- set faults = results | selectattr('status', 'in', ['error', 'fail', 'skipped']) | list -%}
        {%- set built = results | selectattr('status', 'equalto', 'success') | map(attribute='node.name') | list -%}
        {%- if not faults and 'agg_carrier_daily' in built and 'agg_airport_hourly' in built -%}
            truncate {{ work_list }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro -%}
