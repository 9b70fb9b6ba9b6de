{#-
    What a run rebuilds follows from `var('touched')`, {stream: [dates]}: the dates of each stream's events that changed
    since the marts were built. Without it everything is rebuilt; a stream that it does not name was not touched.
-#}

{#- A stream's touched dates as SQL literals; none if everything is. `table`: its raw table or staging model. -#}
{%- macro touched_dates(table) -%}
    {%- if var('touched', none) is none -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set literals = [] -%}
    {%- for stream, dates in var('touched').items() if stream | replace('.', '_') == table.removeprefix('stg_') -%}
        {%- for date in dates -%}
            {%- do literals.append("date '" ~ modules.datetime.date.fromisoformat(date | string) ~ "'") -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(literals) }}
{%- endmacro -%}

{#- The predicate on a stream's touched dates. `table`: as above; `date`: an expression. -#}
{%- macro touched(table, date='_event_date') -%}
    {%- set dates = touched_dates(table) -%}
    {%- if dates is none -%}
        true
    {%- elif dates -%}
        {{ date }} in ({{ dates | join(', ') }})
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro -%}

{#- The UTC date of a timestamp column, immutable, so that an index can hold it. -#}
{%- macro utc_date(column) -%}
    cast({{ column }} at time zone 'UTC' as date)
{%- endmacro -%}

{#-
    The queries of one column below say what is to be rebuilt. A model refers to other models with `ref`; a test's `where`
    cannot, and refers to what is built already with `built`.
-#}
{%- macro built(name) -%}
    {{ graph.nodes['model.sluice.' ~ name].relation_name if execute }}
{%- endmacro -%}

{#- Flights to rebuild. -#}
{%- macro touched_flights(refer=ref) -%}
    select flight_id from {{ refer('int_flights_touched') }}
{%- endmacro -%}

{#- Where those flights were in fct_flights, and are. -#}
{%- macro touched_places(date, refer) -%}
    select {{ date }} from {{ refer('int_flights_touched') }} where scheduled_at is not null
    union
    select {{ date }} from {{ refer('fct_flights') }} where flight_id in ({{ touched_flights(refer) }})
{%- endmacro -%}

{#- New York's dates to rebuild. -#}
{%- macro touched_flight_dates(refer=ref) -%}
    {{ touched_places('flight_date', refer) }}
{%- endmacro -%}

{#- UTC dates whose hours are to be rebuilt, for their flights or for their weather. -#}
{%- macro touched_hour_dates(refer=ref) -%}
    {{ touched_places(utc_date('scheduled_at'), refer) }}
    union
    select unnest(cast(array[{{ touched_dates('weather_observed') | default([], true) | join(', ') }}] as date []))
{%- endmacro -%}

{#- Pre-hook: deletes what an incremental run builds anew, in the transaction that inserts it. -#}
{%- macro delete_rows(predicate) -%}
    {%- if is_incremental() -%}
        delete from {{ this }} where {{ predicate }}
    {%- endif -%}
{%- endmacro -%}
