{#- The distinct values of an indexed column of fct_flights. -#}
{%- macro codes_in_flights(column) -%}
    {{ distinct_codes(ref('fct_flights'), column) }}
{%- endmacro -%}
