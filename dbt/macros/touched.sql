{#-
    What a run rebuilds follows from the table staging.touched_dates (seq, stream, event_date): the dates of each stream's
    events that changed since the marts were built. It is read when a statement is made, and the dates stand in it as
    literals: variables would have dbt parse the project anew, and a subquery would hide from Postgres how few they are.
    With --full-refresh everything is rebuilt.
-#}
{%- macro everything() -%}
    {{ return(execute and flags.FULL_REFRESH) }}
{%- endmacro -%}

{#- A stream's touched dates as SQL literals, separated by commas. `table`: its raw table or staging model. -#}
{%- macro touched_dates(table) -%}
    {%- set literals = [] -%}
    {%- if execute -%}
        {%- set dates = run_query(
            "select distinct event_date from staging.touched_dates where replace(stream, '.', '_') = '"
            ~ table.removeprefix('stg_') ~ "' order by event_date"
        ) -%}
        {%- for row in dates.rows -%}
            {%- do literals.append("date '" ~ row[0] ~ "'") -%}
        {%- endfor -%}
    {%- endif -%}
    {{ literals | join(', ') }}
{%- endmacro -%}

{#- The predicate on a stream's touched dates. `table`: as above; `date`: an expression. -#}
{%- macro touched(table, date='_event_date') -%}
    {%- set dates = '' if everything() else touched_dates(table) -%}
    {%- if everything() -%}
        true
    {%- elif dates -%}
        {{ date }} in ({{ dates }})
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro -%}

{#- The UTC date of a timestamp column, immutable, so that an index can hold it. -#}
{%- macro utc_date(column) -%}
    cast({{ column }} at time zone 'UTC' as date)
{%- endmacro -%}

{#-
    The predicates below say what follows from that. A model refers to other models with `ref`; a test's `where` cannot, and
    refers to what is built already with `built`. They refer to them even where everything is rebuilt, so that the order of
    the models is always the same.
-#}
{%- macro built(name) -%}
    {{ graph.nodes['model.sluice.' ~ name].relation_name if execute }}
{%- endmacro -%}

{#- Rows of touched flights. -#}
{%- macro of_touched_flights(refer=ref) -%}
    {%- set work_list = refer('int_flights_touched') -%}
    {%- if everything() -%}
        true
    {%- else -%}
        flight_id in (select todo.flight_id from {{ work_list }} as todo)
    {%- endif -%}
{%- endmacro -%}

{#- The values that an expression has for touched flights, where the marts held them before and where they do now. -#}
{%- macro touched_places(expression, refer) -%}
    select {{ expression }} from {{ refer('int_flights_touched') }}
    where scheduled_at is not null
    union
    select {{ expression }} from {{ refer('fct_flights') }}
    where {{ of_touched_flights(refer) }}
{%- endmacro -%}

{#-
    Rows whose New York's date has touched flights. An array, because Postgres expects few values of it and takes the index;
    of a subquery it expects many and reads the whole table.
-#}
{%- macro on_touched_flight_dates(refer=ref) -%}
    {%- set dates = touched_places('flight_date', refer) -%}
    {%- if everything() -%}
        true
    {%- else -%}
        flight_date = any(array({{ dates }}))
    {%- endif -%}
{%- endmacro -%}

{#- Rows whose UTC date, that of `timestamp`, has touched flights or touched weather. -#}
{%- macro in_touched_hours(timestamp, refer=ref) -%}
    {%- set dates = touched_places(utc_date('scheduled_at'), refer) -%}
    {%- if everything() -%}
        true
    {%- else -%}
        {{ utc_date(timestamp) }} = any(
            array({{ dates }}) || cast(array[{{ touched_dates('weather_observed') }}] as date [])
        )
    {%- endif -%}
{%- endmacro -%}

{#- Pre-hook: deletes what an incremental run builds anew, in the transaction that inserts it. -#}
{%- macro delete_rows(predicate) -%}
    {%- if is_incremental() -%}
        delete from {{ this }} where {{ predicate }}
    {%- endif -%}
{%- endmacro -%}
