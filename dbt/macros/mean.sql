{#-
    The mean of an integer column; null without values. An exact sum divided once is the same to the last bit whatever
    order the rows come in, which a mean of floating point numbers is not.
-#}
{%- macro mean(column) -%}
    cast(sum({{ column }}) as double precision) / nullif(count({{ column }}), 0)
{%- endmacro -%}
