{#-
    The mean of an integer column; null if it has no values. The sum is exact and divided once, so the result does not
    depend on the order of the rows, as a mean of floating-point numbers would.
-#}
{%- macro mean(column) -%}
    {{ double("sum(" ~ column ~ ")") }} / nullif(count({{ column }}), 0)
{%- endmacro -%}
