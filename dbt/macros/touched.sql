{#-
    What a run rebuilds follows from `var('touched')`, {stream: [dates]}: the dates of each stream's events that changed
    since the marts were built. Without it everything is rebuilt; a stream that it does not name was not touched.
-#}

{#- A stream's touched dates as SQL literals, separated by commas. `table`: its raw table or staging model. -#}
{%- macro touched_dates(table) -%}
    {%- set literals = [] -%}
    {%- set by_stream = var('touched', none) -%}
    {%- set streams = by_stream.items() if by_stream is mapping else [] -%}
    {%- for stream, dates in streams if stream | replace('.', '_') == table.removeprefix('stg_') -%}
        {%- for date in dates -%}
            {%- do literals.append("date '" ~ modules.datetime.date.fromisoformat(date | string) ~ "'") -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ literals | join(', ') }}
{%- endmacro -%}

{#- The predicate on a stream's touched dates. `table`: as above; `date`: an expression. -#}
{%- macro touched(table, date='_event_date') -%}
    {%- set dates = touched_dates(table) -%}
    {%- if var('touched', none) is not mapping -%}
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
    {%- if var('touched', none) is mapping -%}
        flight_id in (select todo.flight_id from {{ work_list }} as todo)
    {%- else -%}
        true
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
    {%- if var('touched', none) is mapping -%}
        flight_date = any(array({{ dates }}))
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro -%}

{#- Rows whose UTC date, that of `timestamp`, has touched flights or touched weather. -#}
{%- macro in_touched_hours(timestamp, refer=ref) -%}
    {%- set dates = touched_places(utc_date('scheduled_at'), refer) -%}
    {%- if var('touched', none) is mapping -%}
        {{ utc_date(timestamp) }} = any(
            array({{ dates }}) || cast(array[{{ touched_dates('weather_observed') }}] as date [])
        )
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro -%}

{#- Pre-hook: deletes what an incremental run builds anew, in the transaction that inserts it. -#}
{%- macro delete_rows(predicate) -%}
    {%- if is_incremental() -%}
        delete from {{ this }} where {{ predicate }}
    {%- endif -%}
{%- endmacro -%}
